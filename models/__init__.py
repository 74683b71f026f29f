"""Nouns and numbers: artifacts, data, networks, learning, serving. No Prefect, no Great Expectations."""

import os

# Unless this is set before its import, onnxruntime (1.29 and later) tells its maker about models and machines.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
