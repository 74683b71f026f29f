"""From a split to a checkpoint and its scorecard."""
