"""The world against what a model was made for: drift of batches, accuracy without labels, a new mix of classes."""
