"""The hub: agenda, event log, ledger, tokens."""
