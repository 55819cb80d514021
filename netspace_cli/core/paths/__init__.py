"""Paths between two networks, straight and bent, and what is seen along them. Imports encoding and below."""
