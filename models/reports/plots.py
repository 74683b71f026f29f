"""Small plots of judged numbers, as SVG that needs nothing from outside: intervals, reliability, risk by coverage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from markupsafe import Markup

from models.artifacts.judging_records import Measure, RiskPoint
from models.artifacts.records import ReliabilityBin

# Blue and vermilion of Okabe and Ito, which colour-blind people tell apart.
_BLUE, _VERMILION = "#0072b2", "#d55e00"
_MARK_WIDTH, _MARK_HEIGHT, _MARK_EDGE = 110, 18, 6
# Not wider than what a narrow phone shows, so that its text keeps its size there.
_WIDTH, _HEIGHT = 320, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 306, 14, 228
# In a style of each text, since a page's own rules would win over anything weaker.
_TEXT = 'style="font:14px system-ui,sans-serif;fill:#333"'
_TOP_RISKS = (0.02, 0.05, 0.1, 0.2, 0.5)


def interval_mark(measure: Measure, reference: float | None = None) -> Markup:
    """A dot and its interval on a line from 0 to 1; empty where nothing was measured.

    Args:
        measure: in 0..1.
        reference: drawn as a dashed line across, such as the value of all pictures.
    """
    if measure.value is None:
        return Markup("")
    parts = [f'<path d="M{_MARK_EDGE} 9H{_MARK_WIDTH - _MARK_EDGE}" stroke="#b5bfca"/>']
    parts += [f'<path d="M{_mark_px(end):.1f} 5v8" stroke="#b5bfca"/>' for end in (0.0, 1.0)]
    if reference is not None:
        parts.append(f'<path d="M{_mark_px(reference):.1f} 0V18" stroke="{_VERMILION}" stroke-dasharray="3 2"/>')
    said = f"{measure.value:.3f}"
    if measure.low is not None and measure.high is not None:
        low, high = _mark_px(measure.low), _mark_px(measure.high)
        parts.append(f'<path d="M{low:.1f} 9H{high:.1f}" stroke="{_BLUE}" stroke-width="4" stroke-opacity=".45"/>')
        said += f", {measure.low:.3f} to {measure.high:.3f}"
    parts.append(f'<circle cx="{_mark_px(measure.value):.1f}" cy="9" r="4" fill="{_BLUE}"/>')
    return _svg(parts, (_MARK_WIDTH, _MARK_HEIGHT), said, "mark")


def reliability_diagram(bins: Sequence[ReliabilityBin], outcome: str) -> Markup:
    """Share of right answers by score, a bar a bin; empty without bins.

    Args:
        bins: within 0..1; empty ones are left out.
        outcome: what the share is of, such as `right`.
    """
    if not bins:
        return Markup("")
    parts = list(_frame(1.0, "score", f"share {outcome}"))
    parts.append(f'<path d="M{_LEFT} {_BOTTOM}L{_RIGHT} {_TOP}" stroke="#888" stroke-dasharray="4 4"/>')
    for b in bins:
        left, right, top = _across(b.low) + 1, _across(b.high) - 1, _up(b.share_right, 1.0)
        at = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{_BOTTOM - top:.1f}"'
        parts.append(f'<rect {at} fill="{_BLUE}" fill-opacity=".4"/>')
        parts.append(f'<circle cx="{_across(b.mean_score):.1f}" cy="{top:.1f}" r="3.5" fill="{_BLUE}"/>')
    return _svg(parts, (_WIDTH, _HEIGHT), f"reliability diagram of {len(bins)} bins", "plot")


def risk_coverage_plot(
    points: Sequence[RiskPoint], chosen: RiskPoint | None = None, measured: RiskPoint | None = None
) -> Markup:
    """Share of wrong answers by the share of pictures that is answered; empty without points.

    Args:
        points: by coverage.
        chosen: gets a dot.
        measured: what other pictures say of it; gets a ring.
    """
    if not points:
        return Markup("")
    shown = [*points, *(point for point in (chosen, measured) if point)]
    top = next((risk for risk in _TOP_RISKS if risk >= max(point.risk for point in shown)), 1.0)
    places = [f"{_across(point.coverage):.1f} {_up(point.risk, top):.1f}" for point in points]
    parts = list(_frame(top, "share answered", "share wrong"))
    parts.append(f'<path d="M{"L".join(places)}h.1" fill="none" stroke="{_BLUE}" stroke-width="2"/>')
    for point, look in ((chosen, f'fill="{_VERMILION}"'), (measured, f'fill="#fff" stroke="{_VERMILION}"')):
        if point:
            at = f'cx="{_across(point.coverage):.1f}" cy="{_up(point.risk, top):.1f}"'
            parts.append(f'<circle {at} r="5" {look} stroke-width="2"/>')
    return _svg(parts, (_WIDTH, _HEIGHT), f"risk by coverage, {len(points)} points", "plot")


def _frame(top: float, across: str, up: str) -> Iterator[str]:
    """White paper, both axes from 0, with ticks at their ends and halves."""
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#fff"/>'
    for tick in (0.0, 0.5, 1.0):
        yield f'<path d="M{_LEFT} {_up(tick, 1.0):.1f}H{_RIGHT}" stroke="#ddd"/>'
        yield _text(_LEFT - 6, _up(tick, 1.0) + 5, f"{tick * top:g}", "end")
        yield _text(_across(tick), _BOTTOM + 20, f"{tick:g}")
    yield f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" fill="none" stroke="#666"/>'
    yield _text((_LEFT + _RIGHT) / 2, _HEIGHT - 10, across)
    middle = (_TOP + _BOTTOM) / 2
    yield f'<g transform="rotate(-90 14 {middle:.1f})">{_text(14, middle, up)}</g>'


def _across(share: float) -> float:
    return _LEFT + _within(share) * (_RIGHT - _LEFT)


def _up(value: float, top: float) -> float:
    return _BOTTOM - _within(value / top) * (_BOTTOM - _TOP)


def _mark_px(share: float) -> float:
    return _MARK_EDGE + _within(share) * (_MARK_WIDTH - 2 * _MARK_EDGE)


def _within(share: float) -> float:
    return min(max(share, 0.0), 1.0) if math.isfinite(share) else 1.0


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_TEXT}>{escape(text)}</text>'


def _svg(parts: Sequence[str], size_px: tuple[int, int], label: str, kind: str) -> Markup:
    width, height = size_px
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    # Every word in it is this module's own.
    return Markup(f'{head} class="{kind}" role="img" aria-label="{label}">{"".join(parts)}</svg>')
