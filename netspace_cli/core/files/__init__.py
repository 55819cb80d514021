"""Files of any kind, read safely and written whole or not at all. Imports runtime."""
