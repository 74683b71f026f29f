from __future__ import annotations

from models.reports.model_card import markdown_text, model_page
from models.serving.bundle import Bundle


def test_page_says_what_the_scorecard_says(champion: Bundle) -> None:
    page = (champion.folder / "card.md").read_text()
    assert page.startswith("# Shapes")
    page = model_page(champion.card, champion.scorecard)
    served = champion.scorecard.served
    assert (
        f"| macro-F1 | {served.macro_f1.value:.3f} ({served.macro_f1.low:.3f} to {served.macro_f1.high:.3f}) |" in page
    )
    for score in served.per_class:
        assert f"| {score.label} | {score.support} |" in page
    for heading in ("Intended use", "Data", "Limits", "Model"):
        assert f"## {heading}" in page


def test_names_of_folders_cannot_write_into_the_page(champion: Bundle) -> None:
    hostile = "a|b](javascript:alert(1))<img src=x>\n# owned"
    card = champion.card.model_copy(update={"classes": (hostile, *champion.card.classes[1:])})
    page = model_page(card, champion.scorecard)
    assert "\n# owned" not in page
    assert "](javascript" not in page
    assert "<img" not in page.replace("\\<img", "")
    assert markdown_text("a|b\nc") == "a\\|b c"
