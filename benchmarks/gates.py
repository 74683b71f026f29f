"""How often the gates let through what they should not, and refuse what they should let through."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.gate_pairs import ELPV, LONG_TAIL, World, draw_pair, raised, rare_class_regressed
from benchmarks.result_file import write_result
from models.artifacts.records import Scorecard
from models.learning.metrics import score_predictions
from validation.evidence import Evidence
from validation.gate_settings import GateSettings
from validation.gates import judge_candidate
from validation.paired import Comparison, observed_gain

WORLDS = ((ELPV, 656), (ELPV, 2000), (LONG_TAIL, 2000))
GAINS = (0.03, 0.05, 0.1)
OBJECTIVE = "balanced_accuracy"
SETTINGS = GateSettings()


class Scenario(NamedTuple):
    """Pairs of models, and what should become of the candidates."""

    name: str
    should_pass: bool
    recalls: Callable[[World], Sequence[float]]
    needs_better_accuracy: bool = False
    needs_luck: bool = False


SCENARIOS = (
    Scenario("equally good", False, lambda world: world.recall),
    Scenario("equally good, luckier on test", False, lambda world: world.recall, needs_luck=True),
    Scenario("rarest class lost 0.3, accuracy better", False, rare_class_regressed, needs_better_accuracy=True),
    *(Scenario(f"better by {gain:.2f} in every class", True, lambda world, g=gain: raised(world, g)) for gain in GAINS),  # type: ignore[misc]
)


def judged_pairs(scenario: Scenario, world: World, rows: int, pairs: int, seed: int) -> Iterator[tuple[bool, bool]]:
    """Of each pair whether the candidate was accepted, and whether the rule about classes refused it."""
    rng, found = np.random.default_rng([seed, rows]), 0
    while found < pairs:
        pair = draw_pair(world, rows, (world.recall, scenario.recalls(world)), rng)
        if scenario.needs_luck and observed_gain(pair, OBJECTIVE) <= 0:
            continue
        if scenario.needs_better_accuracy and observed_gain(pair, "accuracy") <= 0:
            continue
        found += 1
        verdict = judge_candidate(Evidence(_scorecard(pair), OBJECTIVE, comparison=pair), "challenger", SETTINGS)
        yield verdict.is_accepted, any(finding.rule == "class_recall_not_lost" for finding in verdict.blocking)


def _scorecard(pair: Comparison) -> Scorecard:
    """The candidate's numbers, of scores that say nothing but its answers."""
    probabilities = np.eye(pair.class_count)[pair.candidate]
    classes = tuple(f"class {k}" for k in range(pair.class_count))
    scores = score_predictions(pair.true_index, probabilities, classes, seed=0)
    return Scorecard(
        model_name="simulated",
        split="test",
        classes=classes,
        served=scores,
        uncorrected=scores,
        slices=(),
        reliability=(),
        worst_mistakes=(),
    )


def share(hits: int, pairs: int) -> dict[str, float | int]:
    """A share with Wilson's 95 % interval."""
    interval = stats.binomtest(hits, pairs).proportion_ci(0.95, method="wilson")
    numbers = {"share": hits / pairs, "low": float(interval.low), "high": float(interval.high)}
    return {**{name: round(value, 4) for name, value in numbers.items()}, "pairs": pairs}


def simulate(pairs: int) -> list[dict[str, Any]]:
    """One row a world, size and scenario."""
    rows: list[dict[str, Any]] = []
    for (world, size), (seed, scenario) in product(WORLDS, enumerate(SCENARIOS)):
        found = list(judged_pairs(scenario, world, size, pairs, seed))
        accepted = sum(is_accepted for is_accepted, _ in found)
        rows.append(
            {
                "world": world.name,
                "test_pictures": size,
                "scenario": scenario.name,
                "should_pass": scenario.should_pass,
                "wrong": share(pairs - accepted if scenario.should_pass else accepted, pairs),
                "refused_for_a_class": share(sum(by_class for _, by_class in found), pairs),
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=250)
    chosen = parser.parse_args()
    figures = {"objective": OBJECTIVE, "settings": SETTINGS.model_dump(), "rows": simulate(chosen.pairs)}
    sys.stdout.write(f"{write_result('gates', chosen.pairs, figures)}\n")
