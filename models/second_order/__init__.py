"""Curvature and Gauss-Newton steps; imports architectures, parameters, signal and errors."""
