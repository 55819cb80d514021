"""Trained networks: read, recognise, write, score.

Imports data and the rooms below it.
"""
