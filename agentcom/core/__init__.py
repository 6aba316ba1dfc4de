"""What the hub knows, as pure values and functions: no I/O, no clock."""
