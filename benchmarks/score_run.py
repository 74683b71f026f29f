"""One scoring run with everything on, in a process of its own: BUNDLE FOLDER OUT; says pictures a second."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from models.serving.bundle import read_bundle
from models.serving.score import ScoreJob, ScoringSettings, score_folder

if __name__ == "__main__":
    bundle, pictures, target = (Path(text) for text in sys.argv[1:])
    settings = ScoringSettings(settle_seconds=0, probabilities="all")
    summary = score_folder(ScoreJob(pictures, read_bundle(bundle), target, settings), "benchmark")
    sys.stdout.write(f"{summary.images_per_s}\n")
    sys.stdout.flush()
    os._exit(0)  # as the command line leaves: without the native libraries' teardown
