"""Curvature and Gauss-Newton steps; imports architectures, parameters, network_io and errors."""
