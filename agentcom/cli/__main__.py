"""``python -m agentcom.cli``: the command without its console script."""

from agentcom.cli.main import main

main()
