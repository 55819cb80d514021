"""Train a space on a zoo: the loop, its run folder, the memory it takes. Imports spaces and below."""
