"""Smaller and faster models in the place of the exported one, served only where that costs nothing."""
