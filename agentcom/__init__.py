"""AgentCom: a hub that hands work to AI agents and never loses it.

Nothing is imported here on purpose: the command line must start fast, and
importing Klein installs a reactor before twistd has chosen one.
"""

__version__ = "0.1.0"
