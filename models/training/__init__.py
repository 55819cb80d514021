"""Losses and objectives of training.

May import every other room of netspace_models.
"""
