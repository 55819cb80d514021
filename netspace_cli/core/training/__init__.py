"""Train a space on a zoo: the loop, its run folder, its memory.

Imports spaces and the rooms below it.
"""
