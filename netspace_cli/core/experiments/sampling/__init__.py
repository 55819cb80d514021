"""Compare samples with trained networks: accuracy, ensembles, novelty."""
