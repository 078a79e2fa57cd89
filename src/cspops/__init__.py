"""Contrastive Spatial Pre-Training.

>>> import cspops
>>> model = cspops.load("artifacts")  # doctest: +SKIP
>>> model  # doctest: +SKIP
Model(encoder='grid', d=256, image='timm:resnet10t', classes=28, seed=0, label_ratio=1.0)
>>> model.encode_location([[8.54, 47.37]]).shape  # degrees, longitude first  # doctest: +SKIP
(1, 256)
>>> model.predict(["photo.jpg"], [[8.54, 47.37]], top=1)  # doctest: +SKIP
[[('Cfb', 0.7448158210200969)]]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cspops.library.loading import load
    from cspops.library.model import Model

    __version__: str

__all__ = ["Model", "__version__", "load"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import `load` and `Model` when they are first asked for: torch takes a second."""
    if name == "load":
        from cspops.library.loading import load

        return load
    if name == "Model":
        from cspops.library.model import Model

        return Model
    if name == "__version__":
        from importlib.metadata import version

        return version("cspops")
    raise AttributeError(f"module 'cspops' has no attribute {name!r}")
