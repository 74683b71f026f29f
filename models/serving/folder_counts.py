"""What the output says of the files that a folder has now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from models.data.split import NO_CLASS
from models.serving.commit import OutputStore
from models.serving.known_files import KeySet, name_keys

# Of the model's score, behind which a picture is unlike the training pictures.
FOREIGN = 1.0
_COLUMNS = ("path", "path_bytes", "status", "label", "labels", "abstained", "ood_score")
# Statuses of files that are no pictures by their nature; they are nobody's fault.
_NOT_BAD = ("ok", "ignored")


class FolderCounts(NamedTuple):
    """Counts of the newest row of every file.

    Attributes:
        abstained: rows whose answer is not to be used; None where the model has no limit.
        foreign: rows unlike the training pictures; None where the model cannot tell.
    """

    rows_by_status: dict[str, int]
    labels: dict[str, int]
    abstained: int | None
    foreign: int | None

    @property
    def files(self) -> int:
        """Files that have a row."""
        return sum(self.rows_by_status.values())

    @property
    def bad(self) -> int:
        """Files that should have a score and have none."""
        return sum(count for status, count in self.rows_by_status.items() if status not in _NOT_BAD)


def count_folder(store: OutputStore, bundle_sha256: str, names: bytearray) -> FolderCounts:
    """Counts of the files whose name keys are joined in `names`, in one pass over the output, newest rows first.

    The names are sorted where they lie.
    """
    present = KeySet(names)
    is_seen = np.zeros(len(present), dtype=np.bool_)
    statuses, labels = Counter[str](), Counter[str]()
    told: dict[str, list[int]] = {"abstained": [0, 0], "ood_score": [0, 0]}
    for table in store.tables(bundle_sha256, _COLUMNS, newest_first=True):
        places = present.positions(name_keys(table))
        for place, row in zip(places[::-1].tolist(), reversed(table.to_pylist()), strict=True):
            if place < 0 or is_seen[place]:
                continue
            is_seen[place] = True
            statuses[row["status"]] += 1
            labels.update(_predicted(row))
            _tell(told["abstained"], row["abstained"], bool(row["abstained"]))
            _tell(told["ood_score"], row["ood_score"], (row["ood_score"] or 0.0) > FOREIGN)
    return FolderCounts(
        dict(sorted(statuses.items())),
        dict(sorted(labels.items())),
        told["abstained"][1] if told["abstained"][0] else None,
        told["ood_score"][1] if told["ood_score"][0] else None,
    )


def _tell(counts: list[int], value: object, is_it: bool) -> None:
    counts[0] += value is not None
    counts[1] += is_it


def _predicted(row: dict[str, Any]) -> Sequence[str]:
    """The labels that a row counts for; of several-label rows without any, one that stands for none."""
    if row["labels"] is None:
        return [row["label"]] if row["label"] else []
    return row["labels"] or [NO_CLASS]
