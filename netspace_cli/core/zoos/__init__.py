"""Zoos of trained networks: trained, fitted, adopted, listed, exported.

Imports shapes and the rooms below it.
"""
