"""Sphinx configuration; needs no network."""

from importlib.metadata import version as installed_version

project = "AgentCom"
author = "AgentCom contributors"
copyright = "AgentCom contributors"
release = installed_version("agentcom")
version = ".".join(release.split(".")[:2])

extensions: list[str] = []
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "alabaster"
html_theme_options = {"description": "A hub for AI agents"}
