"""Latent space optimisation, its objectives and its baselines.

Imports encoding and the rooms below it.
"""
