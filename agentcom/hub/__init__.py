"""What AgentCom exists for: dispatch, fencing, presence, messaging."""
