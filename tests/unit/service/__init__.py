"""The process around the hub: options, settings, data directory, service."""
