"""netspace as a library: rooms by subject, each importing only those above it in `tests/test_layering.py`."""
