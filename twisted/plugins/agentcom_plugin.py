"""Tells twistd about the ``agentcom`` subcommands; everything else is in agentcom.tap
and agentcom.agent_tap.

Every twistd run of this environment loads this file, so it imports nothing of ours.
"""

from twisted.application.service import ServiceMaker

agentcom = ServiceMaker(
    "AgentCom hub",
    "agentcom.tap",
    "A hub that hands tasks to AI agents and carries their messages.",
    "agentcom",
)
agentcom_agent = ServiceMaker(
    "AgentCom agent",
    "agentcom.agent_tap",
    "An agent that takes tasks from an AgentCom hub.",
    "agentcom-agent",
)
