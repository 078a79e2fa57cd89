"""The command line: one subcommand per stage of dvc.yaml, and those that show and use results.

Heavy packages are imported inside the commands, so that `cspops --help` is instant and a wrong params.yaml is refused
before anything else happens.
"""

from cspops.commands.app import app, main

# ruff: isort: off
from cspops.commands import stages, versus, compare, tables, image_networks  # in the order of the panels of the help
from cspops.commands import predict, embed, map, export, init, upgrade, data_use, data_check, import_checkpoint
from cspops.commands import gair_dry_run, locate, probe

__all__ = [
    "app",
    "compare",
    "data_check",
    "data_use",
    "embed",
    "export",
    "gair_dry_run",
    "image_networks",
    "import_checkpoint",
    "init",
    "locate",
    "main",
    "map",
    "predict",
    "probe",
    "stages",
    "tables",
    "upgrade",
    "versus",
]
