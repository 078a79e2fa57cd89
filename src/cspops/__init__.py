"""Contrastive Spatial Pre-Training.

>>> import cspops
>>> model = cspops.load("artifacts")  # doctest: +SKIP
>>> model.encode_location([[8.54, 47.37]]).shape  # degrees, longitude first  # doctest: +SKIP
(1, 256)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cspops.library.loading import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` when it is first asked for: torch takes a second."""
    if name == "load":
        from cspops.library.loading import load

        return load
    raise AttributeError(f"module 'cspops' has no attribute {name!r}")
