"""Who loads a server: each module that has a ``main`` is a process of its own."""
