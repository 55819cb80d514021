"""Merge draws of a zoo's instances: how much of the ensemble's gain each way keeps."""
