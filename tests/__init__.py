"""Tests of AgentCom, run by trial."""
