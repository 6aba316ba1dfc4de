"""``agentcom.agent`` and the service of an agent."""
