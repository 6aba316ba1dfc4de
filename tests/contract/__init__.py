"""Every promise of PROTOCOL.md that an agent can see, on a hub in memory."""
