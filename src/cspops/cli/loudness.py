"""How much a command says on stderr: warnings and errors (--quiet), progress too, or what it does in detail (--verbose)."""

import sys
import time
from typing import Literal

from cspops.errors import ParamsError
from cspops.progress import WARNING, Report, in_bytes, only_warnings

_level: Literal["quiet", "usual", "verbose"] = "usual"
_begun = time.monotonic()


def set_loudness(*, quiet: bool, verbose: bool) -> None:
    """What the options ask for; ParamsError for both."""
    global _level, _begun
    if quiet and verbose:
        raise ParamsError("--quiet and --verbose (or CSPOPS_QUIET and CSPOPS_VERBOSE) exclude each other", hint="leave one out")
    _level, _begun = "quiet" if quiet else "verbose" if verbose else "usual", time.monotonic()


def is_verbose() -> bool:
    return _level == "verbose"


def say(line: str) -> None:
    """A line of progress; stdout is for results."""
    if _level == "quiet":
        only_warnings(line)
    else:
        print(line, file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """A line that --quiet does not keep back."""
    say(f"{WARNING}{line}")


def tell(line: str) -> None:
    """A line of detail, for --verbose."""
    if is_verbose():
        print(line, file=sys.stderr, flush=True)


def report() -> Report:
    """`say`, for code that shows bars where it may."""
    return only_warnings if _level == "quiet" else say


def tell_cost() -> None:
    """Time and the most memory that was held, for --verbose."""
    if not is_verbose():
        return
    line = f"took {time.monotonic() - _begun:.1f} s"
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        line += f", at most {in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)} of memory"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        line += f", {in_bytes(torch.cuda.max_memory_allocated())} of the GPU's"
    tell(line)
