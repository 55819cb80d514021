"""Encode, refine, decode and compare networks.

Imports spaces and the rooms below it.
"""
