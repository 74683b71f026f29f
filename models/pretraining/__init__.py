"""Learning from pictures without labels: weights for training, and features for all that needs none."""
