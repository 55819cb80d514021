"""Straight and bent paths between two networks, and what they show.

Imports encoding and the rooms below it.
"""
