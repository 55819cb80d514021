"""Flat parameters: places, folding, symmetry, alignment, rescaling, PRep grid; imports signal and errors."""
