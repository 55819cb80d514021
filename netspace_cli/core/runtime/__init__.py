"""Where and how work runs: device, precision, threads, seeds, progress, stopping.

Imports no other room.
"""
