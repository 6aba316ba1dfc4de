"""The WebSocket edge: connections of agents."""
