"""Measurements, each with a command that repeats it and a result file that names n, versions, machine and date."""
