"""netspace as a library.

Each room imports only those above it in `tests/test_layering.py`.
"""
