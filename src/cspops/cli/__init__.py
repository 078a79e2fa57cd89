"""The front door: one subcommand a stage of dvc.yaml, and the commands to look at results.

Heavy packages are imported inside the commands, so that `cspops --help` is instant and a wrong params.yaml is refused
before anything else happens.
"""

from cspops.cli.app import app, main

# ruff: isort: off
from cspops.cli import stages, look, use, export, project, data, others  # in the order of the panels of the help

__all__ = ["app", "data", "export", "look", "main", "others", "project", "stages", "use"]
