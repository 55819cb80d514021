"""The family `netspace experiment`: one file for each kind of measurement."""
