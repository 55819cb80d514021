"""Zoos: folders of trained networks, trained, fitted, adopted, listed, exported. Imports shapes and below."""
