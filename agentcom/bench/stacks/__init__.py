"""What the hub is compared with: each module that has a ``main`` is a server of its own."""
