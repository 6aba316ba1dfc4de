"""The agent's side: takes tasks from a hub and works on them, over its own death too.

``agent`` puts the parts together: ``connector`` keeps a connection, ``session``
speaks the protocol on it, ``desk`` decides what is done and said, with the
work on its ``bench``, ``replies`` from the hub and reports in the ``outbox``.
All of that is in the ``journal`` first, which is in the agent's ``state``.
The work is a command's (``runner``) or a function's (``functions``).
"""
