"""How training went, as a picture: losses in one panel, scores in the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from models.artifacts.records import EpochRecord
from models.learning.progress import kept_epoch

_WIDTH, _HEIGHT, _PLOT_WIDTH, _TOP, _BOTTOM = 720, 270, 290, 40, 225
_LEFTS = (50, 410)
# Blue and vermilion of Okabe and Ito, which colour-blind people tell apart; the dashes do it without colour.
_LOOKS = (("#0072b2", "5 3"), ("#d55e00", "none"))
# In a style of each text, since a page's own rules would win over anything weaker.
_TEXT = 'style="font:13px system-ui,sans-serif;fill:#333"'
# What a legend says, and a value an epoch; train first, tune second.
_Lines = Sequence[tuple[str, list[float]]]


class _Scale(NamedTuple):
    """From values to pixels, and the values that get a tick."""

    ends: tuple[float, float]
    ends_px: tuple[float, float]
    ticks: list[float]

    def px(self, value: float) -> float:
        (low, high), (start, end) = self.ends, self.ends_px
        return start + (value - low) / (high - low) * (end - start)


def learning_curves(epochs: Sequence[EpochRecord], objective_name: str) -> str:
    """A self-contained SVG of losses and scores, on white paper; empty where there are no epochs.

    Values that are not finite leave a gap. The epoch whose weights were kept is marked.

    Args:
        epochs: in order; their numbers start at 0 and are shown from 1.
        objective_name: what the tune objective is.
    """
    if not epochs:
        return ""
    losses = ("train loss", [e.train_loss for e in epochs]), ("tune loss", [e.tune_loss for e in epochs])
    values = [e.tune_objective for e in epochs]
    scores = ("train accuracy", [e.train_accuracy for e in epochs]), (f"tune {objective_name}", values)
    numbers = [e.epoch + 1 for e in epochs]
    kept = kept_epoch(epochs)
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {size} role="img"'
    label = f"learning curves of {len(epochs)} epochs; epoch {numbers[kept]} was kept"
    parts = [f'{head} style="max-width:100%;height:auto" aria-label="{label}"><rect {size} rx="6" fill="#fff"/>']
    for lines, left in zip((losses, scores), _LEFTS, strict=True):
        parts += _panel(lines, numbers, kept, left)
    return "\n".join([*parts, "</svg>"])


def _panel(lines: _Lines, numbers: Sequence[int], kept: int, left: int) -> Iterator[str]:
    across, right = _epoch_scale(numbers[0], numbers[-1], left), left + _PLOT_WIDTH
    up = _value_scale([v for _, values in lines for v in values if math.isfinite(v)])
    for tick in up.ticks:
        yield f'<path d="M{left} {up.px(tick):.1f}H{right}" stroke="#ddd"/>'
        yield _text(left - 6, up.px(tick) + 4, f"{tick:.6g}", "end")
    yield from (_text(across.px(tick), _BOTTOM + 16, f"{tick:.0f}") for tick in across.ticks)
    yield _text((left + right) / 2, _BOTTOM + 33, "epoch")
    x = across.px(numbers[kept])
    yield f'<path d="M{left} {_TOP}V{_BOTTOM}H{right}" fill="none" stroke="#666"/>'
    yield f'<path d="M{x:.1f} {_TOP}V{_BOTTOM}" stroke="#333" stroke-dasharray="1 3"/>'
    yield _text(min(max(x, left + 22), right - 22), _TOP - 3, f"kept: {numbers[kept]}")
    for place, ((name, values), look) in enumerate(zip(lines, _LOOKS, strict=True)):
        at = left + place * 122
        yield f'<path d="M{at} 14h16" {_stroke(look)}/>' + _text(at + 20, 18, name, "start")
        yield from _paths(((across.px(n), up.px(v)) for n, v in zip(numbers, values, strict=True)), look)
    if math.isfinite(value := lines[-1][1][kept]):
        yield f'<circle cx="{x:.1f}" cy="{up.px(value):.1f}" r="4" fill="{_LOOKS[-1][0]}"/>'


def _paths(points: Iterator[tuple[float, float]], look: tuple[str, str]) -> Iterator[str]:
    """One path for every stretch of points that are there; a single one becomes a dot."""
    for is_there, stretch in groupby(points, key=lambda point: math.isfinite(point[1])):
        places = [f"{x:.1f} {y:.1f}" for x, y in stretch] if is_there else []
        if places:
            drawn = _stroke(look) if len(places) > 1 else _stroke((look[0], "none"), width=6)
            yield f'<path d="M{"L".join(places)}h.1" {drawn}/>'


def _epoch_scale(low: int, high: int, left: int) -> _Scale:
    step = max(_nice_step((high - low) / 5), 1.0)
    half = 0 if high > low else 1
    ticks = _ticks(math.ceil(low / step), math.floor(high / step), step)
    return _Scale((low - half, high + half), (left, left + _PLOT_WIDTH), ticks)


def _value_scale(values: Sequence[float]) -> _Scale:
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = _nice_step(max((high - low) / 5, abs(high) * 0.04))
    first = math.floor(low / step + 1e-9)
    ticks = _ticks(first, max(math.ceil(high / step - 1e-9), first + 1), step)
    return _Scale((ticks[0], ticks[-1]), (_BOTTOM, _TOP), ticks)


def _nice_step(rough: float) -> float:
    """The next 1, 2, 5 or 10 times a power of ten; never less than a millionth."""
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-6)))
    return next(power * k for k in (1, 2, 5, 10) if k == 10 or power * k >= rough)


def _ticks(first: int, last: int, step: float) -> list[float]:
    return [round(k * step, 9) for k in range(first, last + 1)]


def _stroke(look: tuple[str, str], width: int = 2) -> str:
    return f'fill="none" stroke="{look[0]}" stroke-width="{width}" stroke-linecap="round" stroke-dasharray="{look[1]}"'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_TEXT}>{escape(text)}</text>'
