"""The command ``agentcom``: each module a command over ``client`` or ``sidecar``.

Nothing is imported here on purpose: ``--help`` must be quick.
"""
