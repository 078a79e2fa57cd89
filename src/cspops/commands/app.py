"""The `cspops` command: its options, the panels of its help, and how errors end it."""

import traceback
from typing import Annotated

import typer

from cspops.commands.endings import end, lacking, of_usage
from cspops.commands.output import is_verbose, log_cost, set_verbosity
from cspops.errors import CspopsError, ParamsError, ReaderGone
from cspops.progress import libraries_in_our_log
from cspops.terminal import Output, note, prepare, say

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

        say(f"cspops {version('cspops')}")
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
    prepare()
    with libraries_in_our_log():
        status = _run()
        log_cost()
    try:
        Output().flush()
    except CspopsError as error:
        return status or end(error)
    return status


def _run() -> int:
    try:
        status = int(app(prog_name="cspops", standalone_mode=False) or 0)
    except CspopsError as error:
        return end(error)
    except typer.TyperException as error:
        return end(of_usage(error)) if error.format_message() else ParamsError.code  # no message: it was help
    except typer.Abort:
        return end(CspopsError("the command was broken off"))
    except Exception as error:
        problem = lacking(error)
        if problem is None:
            raise
        if is_verbose():
            for line in traceback.format_exc().splitlines():
                note(line)
        return end(problem)
    except SystemExit as stop:  # of completion, and of help that nobody reads
        return ReaderGone.code if isinstance(stop.__context__, BrokenPipeError) else int(stop.code or 0)
    if status == 130:
        note("interrupted: the same command continues")
    return status


data = typer.Typer(
    help="Use your own images: point the project at them, and look at what is in them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data", rich_help_panel=DATA)
