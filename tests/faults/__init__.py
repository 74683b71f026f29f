"""What happens when a machine or a person interferes, with real processes."""
