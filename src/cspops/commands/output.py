"""Output of commands: results on stdout; on stderr warnings and errors, with progress, or with details (--verbose)."""

import logging
import sys
import time
from typing import Any

from cspops.errors import ParamsError
from cspops.progress import in_bytes, show_from
from cspops.terminal import STEERING, say

log = logging.getLogger(__name__)
_started = time.monotonic()


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Apply --quiet or --verbose; raise a ParamsError for both."""
    global _started
    if quiet and verbose:
        raise ParamsError("--quiet and --verbose (or CSPOPS_QUIET and CSPOPS_VERBOSE) exclude each other", hint="leave one out")
    show_from(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    _started = time.monotonic()


def is_verbose() -> bool:
    return log.isEnabledFor(logging.DEBUG)


def log_cost() -> None:
    """Log the time and the peak memory, for --verbose."""
    if not is_verbose():
        return
    memory = "".join(f", at most {in_bytes(size)} of {which}" for which, size in peak_memory().items())
    log.debug(f"took {time.monotonic() - _started:.1f} s{memory}")


def peak_memory() -> dict[str, int]:
    """Return the most bytes that this process has held, of memory and, where it has used one, of the GPU's."""
    peak = {}
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        peak["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        peak["the GPU's"] = torch.cuda.max_memory_allocated()
    return peak


def print_json(document: Any, *, ensure_ascii: bool = True, sort_keys: bool = False) -> None:
    """Print one JSON document; a letter that could steer a terminal is in it as JSON escapes it."""
    import json

    text = json.dumps(document, indent=1, ensure_ascii=ensure_ascii, sort_keys=sort_keys)
    say(*(STEERING.sub(lambda one: f"\\u{ord(one[0]):04x}", line) for line in text.split("\n")))
