"""Measurements that papers report: from a zoo to tables and a figure.

Imports every room.
"""
