"""Run by the environment that has cleanvision: seconds of its search, and what it flags, as JSON on one line."""

import json
import sys
import time
from pathlib import Path

from cleanvision import Imagelab

ISSUES = ("dark", "light", "blurry", "low_information", "odd_aspect_ratio", "odd_size", "grayscale")

if __name__ == "__main__":
    lab = Imagelab(data_path=sys.argv[1])
    started = time.monotonic()
    lab.find_issues(verbose=False)
    elapsed = time.monotonic() - started
    flags = {name: [Path(p).name for p in lab.issues.index[lab.issues[f"is_{name}_issue"]]] for name in ISSUES}
    sys.stdout.write("\n" + json.dumps({"elapsed_s": elapsed, "pictures": len(lab.issues), "flags": flags}) + "\n")
