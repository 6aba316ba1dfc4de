"""The agent's side: takes tasks from a hub and runs a command for each.

``agent`` puts the parts together: ``connector`` keeps a connection,
``session`` speaks the protocol on it, ``desk`` holds the tasks across
connections, ``runner`` runs them, ``report`` says how they ended.
"""
