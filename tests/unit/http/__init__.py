"""The HTTP edge, through the real site."""
