"""Drawn networks beside trained ones: how accurate, how good together, how new."""
