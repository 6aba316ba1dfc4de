"""A whole hub against random worlds, and what must hold after every step."""
