"""What a person asks for: which inputs, which space, which data. Imports all rooms but experiments."""
