"""Kinds of network: classifiers of images, shapes, pictures, fields.

Imports shapes and the rooms below it.

What differs from kind to kind is answered by a `Kind` (kind.py), once for each space or zoo; nothing else asks which
kind
a network is of. A new kind is a file here with a class that has these methods, and a line in `registry.py`.
"""
