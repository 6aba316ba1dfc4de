"""The store: group commit, SQLite, migrations, the local command."""
