"""Inputs of networks: images of data sets, and points of a box.

Imports files and the rooms below it.
"""
