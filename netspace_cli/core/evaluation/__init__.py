"""Compare target and predicted instances of a zoo.

Imports encoding and the rooms below it.
"""
