"""Synchronous tests, one package for each room of the source tree."""
