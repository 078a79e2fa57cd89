"""The `cspops` command: its options, the panels of its help, and how errors end it."""

import sys
import traceback
from typing import Annotated

import typer

from cspops.commands.endings import end, lacking, of_usage
from cspops.commands.output import is_verbose, log_cost, set_verbosity
from cspops.errors import CspopsError, ParamsError, ReaderGone
from cspops.progress import libraries_in_our_log
from cspops.terminal import Output, note, prepare, say

STAGES = "Stages of the pipeline, in order (dvc.yaml calls them)"
LOOK = "Look at results"
USE = "Use the trained models"
OTHERS = "Use released models"
DATA = "Use your own images"


def examples(*lines: str) -> str:
    """Return the end of a help text: one command per line."""
    return "\n".join(("Examples:", *lines))


STARTS_OVER = "starts over"
SECOND_START = {
    "download": "keeps the files that were fetched, and reads them again",
    "pretrain-img": "continues after the last finished epoch",
    "featurize": "continues with the images that have no features yet",
    "pretrain": "continues after the last finished epoch",
    "finetune-loc": "continues with the seeds and label ratios that are missing",
    "finetune-img": "continues with the seeds and label ratios that are missing",
    "image-networks": "continues with the rows and seeds that are missing",
    "predict": "continues a FILE of --out, from the first image that has changed; without --out it starts over",
} | dict.fromkeys(("evaluate", "report", "embed", "map", "locate", "export", "probe"), STARTS_OVER)
"""What a long command that was stopped does when it is started again."""


app = typer.Typer(
    name="cspops",
    help="Contrastive Spatial Pre-Training (CSP) of location encoders. `dvc repro` runs every stage that is due.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    epilog="params.yaml holds all that changes results. CSPOPS_DEVICE, CSPOPS_NPROC, CSPOPS_WORKERS and CSPOPS_DATA_ROOT say "
    "where it runs.",
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
            help="Also print what is read, the device, the time and the memory used.",
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


def _write_help() -> None:
    """Make each paragraph of a docstring one line, which the terminal's width wraps, and say what a second start does."""
    for command in (*app.registered_commands, *data.registered_commands):
        assert command.callback is not None
        parts = [" ".join(part.split()) for part in (command.callback.__doc__ or "").split("\n\n")]
        if again := SECOND_START.get(command.name or command.callback.__name__.replace("_", "-")):
            parts.append(f"If it is stopped, the same command {again}.")
        command.help = "\n\n".join(parts)


def _called() -> str:
    """Return the words of the command line that name the command."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    return " ".join(words[: 2 if words[:1] == ["data"] else 1])


def _run() -> int:
    _write_help()
    try:
        status = int(app(prog_name="cspops", standalone_mode=False) or 0)
    except CspopsError as error:
        return end(error)
    except typer.TyperException as error:
        return end(of_usage(error, called=_called())) if error.format_message() else ParamsError.code  # no message: it was help
    except typer.Abort:
        return end(CspopsError("the command was aborted"))
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
        note(f"stopped: the same command {SECOND_START.get(_called(), STARTS_OVER)}")
    return status


data = typer.Typer(
    help="Use your own images: point the project at them, and look at what is in them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data", rich_help_panel=DATA)
