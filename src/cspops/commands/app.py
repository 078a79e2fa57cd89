"""The `cspops` command: its options, the panels of its help, and how errors end it."""

import sys
import traceback
from typing import Annotated

import typer

from cspops.commands.output import is_verbose, log_cost, set_verbosity
from cspops.errors import CspopsError, EnvironmentProblem

STAGES = "Stages (what dvc.yaml calls, in the order of the graph)"
LOOK = "Look at results"
USE = "Use what was trained"
OTHERS = "Use what others made"
DATA = "Use your own images"

app = typer.Typer(
    name="cspops",
    help="Contrastive Spatial Pre-Training of location encoders. `dvc repro` runs every stage that is due.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    epilog="What changes results: params.yaml. Where it runs: CSPOPS_DEVICE, CSPOPS_NPROC, CSPOPS_WORKERS, CSPOPS_DATA_ROOT.",
)


def _version(requested: bool | None) -> None:
    if requested:
        from importlib.metadata import version

        print(f"cspops {version('cspops')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", envvar="CSPOPS_QUIET", help="Print only warnings and errors.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            envvar="CSPOPS_VERBOSE",
            help="Also print what is read, device, time and memory.",
        ),
    ] = False,
) -> None:
    """Set what the options of `cspops` itself ask for."""
    set_verbosity(quiet=quiet, verbose=verbose)


def main() -> int:
    """Run the command line and turn errors into a sentence, a hint and an exit code (see `errors`)."""
    try:
        app()
    except CspopsError as error:
        for line in error.message.splitlines():
            print(f"error: {line}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.code
    except OSError as error:
        if is_verbose():
            traceback.print_exc()
        print(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return EnvironmentProblem.code
    except SystemExit as stop:
        if stop.code == 130:
            print("interrupted: the same command continues", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 1
    finally:
        log_cost()
    return 0


data = typer.Typer(
    help="Use your own images: point the project at them, and look at what is in them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data", rich_help_panel=DATA)
