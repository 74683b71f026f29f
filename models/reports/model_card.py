"""The model card for people: what it is for, what it learned from, what it reached, where it ends."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from models.artifacts.records import ModelCard, Scorecard

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:])")
_LEAST_CLASS_ROWS = 10


def markdown_text(value: object) -> str:
    """Text that Markdown shows as it is, on one line: names come from folders, and folders from anybody."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def model_page(card: ModelCard, scorecard: Scorecard) -> str:
    """Markdown of a model card, after Mitchell et al. (arXiv 1810.03993)."""
    environment = Environment(
        loader=PackageLoader("models.reports"),
        # Markdown, in which HTML's escapes would be shown; every value goes through `text` instead.
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = markdown_text
    environment.filters["share"] = lambda value: "-" if value is None else f"{value:.3f}"
    few = [score.label for score in scorecard.served.per_class if score.support < _LEAST_CLASS_ROWS]
    page = environment.get_template("model_card.md").render(card=card, scores=scorecard.served, few=few)
    return page.strip() + "\n"
