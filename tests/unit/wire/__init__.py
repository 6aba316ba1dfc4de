"""The wire: JSON from strangers, and the frames."""
