"""The commands of `netspace experiment`, one file for each kind of measurement."""
