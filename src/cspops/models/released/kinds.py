"""The table of released encoders: which encoding and network of this project gives the same output."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cspops.errors import DataError

T = TypeVar("T")

DEGREES_PER_RADIAN = 180 / math.pi


class Settings:
    """The `params` of a checkpoint, one checked value at a time; a DataError names file, key, what fits and what was found."""

    def __init__(self, file: Path, params: Mapping[str, Any]) -> None:
        self.file, self.params = file, params

    def take(self, key: str, fits: str, convert: Callable[[Any], T | None]) -> T:
        """The value of ``key`` as ``convert`` makes it; ``convert`` answers None for one that does not fit."""
        if key not in self.params:
            raise DataError(f"{self.file}: params lacks {key} ({fits})")
        value = convert(self.params[key])
        if value is None:
            raise DataError(f"{self.file}: params: {key} is {self.params[key]!r}, not {fits}")
        return value

    def count(self, key: str, *, least: int = 1) -> int:
        def convert(value: Any) -> int | None:
            return int(value) if _finite(value) and value == int(value) and least <= value <= 2**20 else None

        return self.take(key, f"a whole number from {least} to 2^20", convert)

    def number(self, key: str, *, above: float = -math.inf) -> float:
        return self.take(key, f"a number above {above:g}", lambda v: float(v) if _finite(v) and v > above else None)

    def share(self, key: str) -> float:
        return self.take(key, "a number in [0, 1)", lambda v: float(v) if _finite(v) and 0 <= v < 1 else None)

    def flag(self, key: str) -> bool:
        """`T` and `F`, as on the command line, count too."""
        return self.take(key, "true or false", lambda v: {"True": True, "T": True, "False": False, "F": False}.get(str(v)))

    def choice(self, key: str, table: Mapping[str, T]) -> T:
        return self.take(key, f"one of {', '.join(table)}", lambda value: table.get(value) if isinstance(value, str) else None)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A released encoder.

    Args:
        encoding: the name of the encoding here that computes the same features.
        settings: the encoding's settings from the checkpoint's params.
        network: `ffn` or `residual`.
        columns: from the scales s to the order of features: feature j here is feature ``columns(s)[j]`` of the released
            encoder. None where the order is the same.
    """

    encoding: str
    settings: Callable[[Settings], dict[str, Any]]
    network: str = "ffn"
    columns: Callable[[int], list[int]] | None = None


def _scales(settings: Settings, *, unit: float = 1.0) -> dict[str, Any]:
    """The geometric scales; ``unit`` converts their radii to this project's unit."""
    settings.choice("freq_init", {"geometric": True})
    return {
        "scales": settings.count("frequency_num", least=2),
        "r_min": settings.number("min_radius", above=0) * unit,
        "r_max": settings.number("max_radius", above=0) * unit,
    }


def _wrap(settings: Settings) -> dict[str, Any]:
    """`geo_net_fft` has one input, whatever the params say; `geo_net` may have others."""
    return {}


def _wrap_residual(settings: Settings) -> dict[str, Any]:
    settings.choice("loc_encode", {"encode_cos_sin": True})
    settings.take("use_date_feats", "false: dates are not encoded here", lambda value: True if value in (False, "F") else None)
    return {}


_GRID = Kind("grid", _scales)
_WRAP = Kind("wrap", _wrap_residual, network="residual")
_WRAP_FFN = Kind("wrap", _wrap)

KINDS: dict[str, Kind] = {
    "gridcell": _GRID,
    "gridcellnorm": _GRID,  # the conversion to radians comes after the phases there and changes nothing
    "Space2Vec-grid": _GRID,
    "geo_net": _WRAP,
    "wrap": _WRAP,
    "geo_net_fft": _WRAP_FFN,
    "wrap_ffn": _WRAP_FFN,
}
"""By `spa_enc_type`: the released CSP and Sphere2Vec code's names, then TorchSpatial's for the same."""

ACTIVATIONS = {"relu": "relu", "leakyrelu": "leaky_relu", "gelu": "gelu", "sigmoid": "sigmoid", "tanh": "tanh"}
"""Activations by the released code's names (`spa_f_act`); the leaky one has slope 0.2 in both."""


def encoder_config(kind: Kind, settings: Settings) -> dict[str, Any]:
    """The config of the `LocationEncoder` that a checkpoint's params describe.

    Raises:
        DataError: a value is missing or unfit, or the FFN is one that `Ffn` cannot be.
    """
    dim = settings.count("num_filts")
    config: dict[str, Any] = {"encoding": {"name": kind.encoding} | kind.settings(settings), "dim": dim}
    if kind.network == "residual":
        return config | {"network": {"name": "residual", "layers": 4, "dropout": 0.5}}
    network = {
        "name": "ffn",
        "hidden_layers": max(0, settings.count("num_hidden_layer", least=-1)),
        "hidden": settings.count("hidden_dim"),
        "activation": settings.choice("spa_f_act", ACTIVATIONS),
        "dropout": settings.share("dropout"),
        "layer_norm": settings.flag("use_layn"),
        "output_activation": True,
    }
    return config | {"network": network}


def check_skips(kind: Kind, config: Mapping[str, Any], width: int, settings: Settings) -> None:
    """Refuse an FFN without skip connections where `Ffn` has them: at hidden layers as wide as their input.

    Args:
        width: features of the encoding.
    """
    network = config["network"]
    if network["name"] != "ffn":
        return
    layers, hidden = network["hidden_layers"], network["hidden"]
    first, others = layers >= 1 and width == hidden, layers >= 2
    if not settings.flag("skip_connection") and (first or others):
        raise DataError(
            f"{settings.file}: params: skip_connection is false with hidden layers as wide as their input ({hidden}): "
            f"this project's ffn adds its input there"
        )
    if first and kind.columns:
        raise DataError(
            f"{settings.file}: the first hidden layer adds its input, whose features have another order in this project"
        )
