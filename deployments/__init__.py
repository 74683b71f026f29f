"""Where, when and with what the flows run."""

DEFAULT_POOL = "sortline"
