"""Where, when and with what the flows run."""
