"""The publication's experiments, and ours: each from a zoo to tables and a figure, with one call."""
