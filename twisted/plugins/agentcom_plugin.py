"""Tells twistd about the ``agentcom`` subcommand; everything else is in agentcom.tap.

Every twistd run of this environment loads this file, so it imports nothing of ours.
"""

from twisted.application.service import ServiceMaker

agentcom = ServiceMaker(
    "AgentCom hub",
    "agentcom.tap",
    "A hub that hands tasks to AI agents and carries their messages.",
    "agentcom",
)
