"""What crosses the wire, in both directions: one Struct a message."""
