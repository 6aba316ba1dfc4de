"""The client's side of the hub's HTTP API, for programs and for the command line.

``hub`` has the calls, ``stream`` the live events, ``sse`` the format they come
in, ``errors`` what can go wrong.  A reactor is always passed in.  Nothing is
imported here on purpose: the command line starts without Twisted.
"""
