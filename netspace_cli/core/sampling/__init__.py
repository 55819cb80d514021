"""Draw new networks from a space or from a zoo's weights, and compare them with trained ones."""
