"""Losses, and what a step of training minimises; may import every other room of netspace_models."""
