"""A fault test that ships with the product: ``agentcom chaos``."""
