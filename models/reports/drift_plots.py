"""Small plots of drift, as SVG that needs nothing from outside: shares side by side, and distances over batches."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from models.artifacts.records import DriftMeasure, DriftReport

# Blue and vermilion of Okabe and Ito, which colour-blind people tell apart.
_BLUE, _VERMILION = "#0072b2", "#d55e00"
_WIDTH, _HEIGHT, _EDGE = 320, 90, 6
# Distances are drawn in limits; what is further away is drawn at the top.
_MOST_LIMITS = 3.0
_MOST_MEASURES, _TITLE = 6, 20


def share_bars(measure: DriftMeasure) -> Markup:
    """Shares of the reference and of the batch, a pair of bars a range or value; empty without shares."""
    parts = _share_parts(measure)
    return _svg(parts, f"shares of {measure.name}") if parts else Markup("")


def drift_picture(report: DriftReport) -> str:
    """The measures that moved most, nearest to their limit or behind it, as one SVG; empty where none has shares."""
    shown = [m for m in report.measures if m.values and m.distance is not None and m.limit]
    shown.sort(key=lambda m: -(m.distance or 0.0) / (m.limit or 1.0))
    parts, top = [], 0
    for measure in shown[:_MOST_MEASURES]:
        name = measure.name.replace("_", " ")
        said = f"{name} against {measure.against}: {measure.distance:.2f}, limit {measure.limit:.2f}"
        text = f'<text x="{_EDGE}" y="14" font-family="sans-serif" font-size="12" fill="#333">{escape(said)}</text>'
        bars = "".join(_share_parts(measure))
        parts.append(f'<g transform="translate(0,{top})">{text}<g transform="translate(0,{_TITLE})">{bars}</g></g>')
        top += _HEIGHT + _TITLE
    if not parts:
        return ""
    size = f'viewBox="0 0 {_WIDTH} {top}" width="{2 * _WIDTH}" height="{2 * top}"'
    paper = f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{paper}{"".join(parts)}</svg>'


def _share_parts(measure: DriftMeasure) -> list[str]:
    if not measure.values:
        return []
    most = max(*measure.reference_shares, *measure.batch_shares, 1e-9)
    slot = (_WIDTH - 2 * _EDGE) / len(measure.values)
    parts = []
    pairs = zip(measure.values, measure.reference_shares, measure.batch_shares, strict=True)
    for k, (value, before, now) in enumerate(pairs):
        left = _EDGE + k * slot
        title = f"<title>{escape(value)}: {before:.3f}, now {now:.3f}</title>"
        for colour, share, shift in ((_BLUE, before, 0.0), (_VERMILION, now, slot * 0.42)):
            height = share / most * (_HEIGHT - 2 * _EDGE)
            at = f'x="{left + shift:.1f}" y="{_HEIGHT - _EDGE - height:.1f}" width="{slot * 0.4:.1f}"'
            parts.append(f'<rect {at} height="{height:.1f}" fill="{colour}">{title}</rect>')
    return parts


def trend(reports: Sequence[DriftReport], name: str, against: str) -> Markup:
    """Distance of one measure over its limit, batch after batch, with a line where the limit is."""
    values = []
    for report in reports:
        found = [m for m in report.measures if (m.name, m.against) == (name, against)]
        is_told = bool(found) and found[0].distance is not None and bool(found[0].limit)
        values.append((found[0].distance or 0.0) / (found[0].limit or 1.0) if is_told else None)
    if not any(value is not None for value in values):
        return Markup("")
    parts = [f'<path d="M0 {_level(1.0):.1f}H{_WIDTH}" stroke="#888" stroke-dasharray="4 4"/>']
    step = (_WIDTH - 2 * _EDGE) / max(len(values) - 1, 1)
    for k, value in enumerate(values):
        if value is None:
            continue
        colour = _VERMILION if value > 1 else _BLUE
        title = f"<title>{escape(reports[k].at[:16])}: {value:.2f} of the limit</title>"
        at = f'cx="{_EDGE + k * step:.1f}" cy="{_level(value):.1f}"'
        parts.append(f'<circle {at} r="3.5" fill="{colour}">{title}</circle>')
    return _svg(parts, f"{name} over {len(values)} batches")


def _level(value: float) -> float:
    return _HEIGHT - _EDGE - min(value, _MOST_LIMITS) / _MOST_LIMITS * (_HEIGHT - 2 * _EDGE)


def _svg(parts: Sequence[str], label: str) -> Markup:
    body = "".join(parts)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return Markup(f'<svg {size} role="img" aria-label="{escape(label)}">{body}</svg>')
