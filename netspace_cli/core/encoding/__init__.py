"""Networks to embeddings and back: encode, refine, decode, compare. Imports spaces and below."""
