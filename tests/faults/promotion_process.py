"""Promotes two bundles of a model in turn, for ever or a number of times; run by tests that kill it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from models.artifacts.workspace import Workspace
from models.errors import OutputBusy, StorageError
from models.serving.bundle import read_bundle
from models.serving.registry import Registry


def promote_in_turn(root: Path, name: str, digests: list[str], times: int) -> None:
    """Says `promoted` or `refused` on a line of its own after each attempt."""
    registry = Registry(Workspace.open(root))
    bundles = [read_bundle(registry.bundle_folder(name, digest)) for digest in digests]
    for turn in range(times):
        try:
            registry.promote(name, bundles[turn % len(bundles)], datetime.now(UTC), f"turn {turn}")
        except (OutputBusy, StorageError) as error:
            sys.stdout.write(f"refused {type(error).__name__}\n")
        else:
            sys.stdout.write("promoted\n")
        sys.stdout.flush()


if __name__ == "__main__":
    promote_in_turn(Path(sys.argv[1]), sys.argv[2], sys.argv[4:], int(sys.argv[3]))
