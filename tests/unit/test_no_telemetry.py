from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_LOAD = "import models.serving.session, onnxruntime as ort; ort.get_available_providers(); ort.SessionOptions()"


def test_nothing_is_kept_for_anybody_when_models_are_loaded(tmp_path: Path) -> None:
    """onnxruntime keeps what it would send below the home folder; where CI is set it is silent by itself."""
    kept = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", _LOAD], env=kept, check=True, timeout=60, cwd=tmp_path)
    assert list(tmp_path.rglob("*")) == []
