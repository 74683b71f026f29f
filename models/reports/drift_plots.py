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


def share_bars(measure: DriftMeasure) -> Markup:
    """Shares of the reference and of the batch, a pair of bars a range or value; empty without shares."""
    if not measure.values:
        return Markup("")
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
    return _svg(parts, f"shares of {measure.name}")


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
