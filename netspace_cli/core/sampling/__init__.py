"""New networks drawn from a space or from a zoo's weights, and what they are worth beside trained ones."""
