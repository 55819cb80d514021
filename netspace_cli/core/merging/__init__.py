"""Several networks of one task become one: means of weights, distilling. Imports search and below."""
