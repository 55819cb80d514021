"""Flat parameters: places, folding, symmetry, alignment, rescaling, PRep grid; imports network_io and errors."""
