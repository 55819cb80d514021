"""Spaces on disk, their recipes and their embeddings.

Imports zoos and the rooms below it.
"""
