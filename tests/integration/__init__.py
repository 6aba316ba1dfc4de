"""Real hubs in real processes, met by clients that share no code with them."""
