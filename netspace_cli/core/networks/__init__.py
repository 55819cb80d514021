"""Trained networks: read, recognised, written, scored. Imports data and the rooms below it."""
