"""The pure core: tasks, fencing, small values."""
