"""Shapes and pictures, as files and as networks: samples, solids, voxels, drawings.

Imports networks and the rooms below it.
"""
