"""What must survive a crash: tasks, the event log, tokens."""
