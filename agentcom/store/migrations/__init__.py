"""Schema migrations; each runs once, all missing ones in one transaction."""
