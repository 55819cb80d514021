"""One file a command: options in, one call of the core, a view out."""
