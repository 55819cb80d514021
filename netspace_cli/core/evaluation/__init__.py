"""Target against predicted instances of a zoo. Imports encoding and below."""
