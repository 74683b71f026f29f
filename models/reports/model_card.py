"""The model card for people: what it is for, what it learned from, what it reached, where it ends."""

from __future__ import annotations

import re

from models.artifacts.records import ModelCard, Scorecard
from models.reports.page import page_environment

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:])")
_LEAST_CLASS_ROWS = 10


def markdown_text(value: object) -> str:
    """Text that Markdown shows as it is, on one line: names come from folders, and folders from anybody."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def model_page(card: ModelCard, scorecard: Scorecard) -> str:
    """Markdown of a model card, after Mitchell et al. (arXiv 1810.03993)."""
    # Markdown shows HTML's escapes; every value goes through `text` instead.
    environment = page_environment(escapes_html=False)
    environment.filters["text"] = markdown_text
    few = [score.label for score in scorecard.served.per_class if score.support < _LEAST_CLASS_ROWS]
    page = environment.get_template("model_card.md").render(card=card, scores=scorecard.served, few=few)
    return page.strip() + "\n"
