"""The benchmark that ships with the product: ``agentcom bench``."""
