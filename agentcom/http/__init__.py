"""The HTTP edge: a Klein resource on the hub's own reactor and port."""
