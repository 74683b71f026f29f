"""Seeing a folder without labels: what lies together, what stands alone, what is there twice, what to label first."""
