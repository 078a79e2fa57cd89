"""The table of released encoders: which encoding and network of this project gives the same output."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from cspops.errors import DataError
from cspops.models.checkpoint import Config
from cspops.models.torch_files import shown
from cspops.shapes import Float, Tensor

T = TypeVar("T")


class Settings:
    """The settings in a checkpoint, one checked value at a time; a DataError names file, key, what fits and the value."""

    def __init__(self, file: Path, params: Mapping[str, Any], *, where: str = "params") -> None:
        """Take the settings that the file has under the key ``where``."""
        self.file, self.params, self.where = file, params, where

    def take(self, key: str, fits: str, convert: Callable[[Any], T | None]) -> T:
        """Return the value of ``key`` as converted; ``convert`` returns None for one that does not fit."""
        if key not in self.params:
            raise DataError(f"{self.file}: {self.where} lacks {key} ({fits})")
        value = convert(self.params[key])
        if value is None:
            raise DataError(f"{self.file}: {self.where}: {key} is {shown(self.params[key])}, not {fits}")
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
        """Return a flag; `T` and `F`, as on the command line, count too."""
        return self.take(key, "true or false", lambda v: {"True": True, "T": True, "False": False, "F": False}.get(str(v)))

    def choice(self, key: str, table: Mapping[str, T]) -> T:
        return self.take(key, f"one of {', '.join(table)}", lambda value: table.get(value) if isinstance(value, str) else None)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


@dataclasses.dataclass(frozen=True)
class Kind:
    """A released encoder.

    Args:
        encoding: the name of the encoding here that computes the same features, in the same order.
        settings: the encoding's settings from the checkpoint's params.
        network: `ffn` or `residual`.
        buffers: tensors of the encoding itself, their names there to their names here.
        adapt: changes the weights (by their names here, in place) where the encoding here scales its input otherwise.
        dated: whether dates may be encoded beside places.
    """

    encoding: str
    settings: Callable[[Settings], Mapping[str, float]]
    network: str = "ffn"
    buffers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    adapt: Callable[[Settings, dict[str, Tensor]], None] | None = None
    dated: bool = False


def _nothing(settings: Settings) -> dict[str, float]:
    return {}


def _geometric(settings: Settings, *, unit: float = 1.0) -> dict[str, float]:
    """Return the geometric scales; ``unit`` converts their radii to those of the encoding here."""
    settings.choice("freq_init", {"geometric": True})
    return {
        "scales": settings.count("frequency_num", least=2),
        "r_min": settings.number("min_radius", above=0) * unit,
        "r_max": settings.number("max_radius", above=0) * unit,
    }


def _geometric_on_radians(settings: Settings) -> dict[str, float]:
    """Return scales whose radii divide radians there and degrees here."""
    return _geometric(settings, unit=180 / math.pi)


def _doubling(settings: Settings) -> dict[str, float]:
    return {"scales": settings.count("frequency_num")}


def _random_features(settings: Settings) -> dict[str, float]:
    key = "rbf_kernal_size" if "rbf_kernal_size" in settings.params else "rbf_kernel_size"
    return {"features": settings.count("frequency_num"), "variance": settings.number(key, above=0)}


def _wrap_alone(settings: Settings) -> dict[str, float]:
    """Refuse the encodings of places that `geo_net` may have and `geo_net_fft` has not."""
    settings.choice("loc_encode", {"encode_cos_sin": True})
    return {}


def _time(settings: Settings) -> dict[str, str | float] | None:
    """Return the time encoding whose features the dates of a checkpoint have, but for sign and order; None without dates."""
    if not settings.flag("use_date_feats"):
        return None
    settings.choice("date_encode", {"encode_cos_sin": True})
    return {"name": "cos_sin", "dropped": 0.0}


def _dates_as_here(settings: Settings, weights: dict[str, Tensor]) -> None:
    """Change the first layer's columns of the date, which is d in [0, 1] there as here.

    There they are of sin(pi t) = -sin(2 pi d) and cos(pi t) = -cos(2 pi d) with t = 2 d - 1, here of cos(2 pi d) and
    sin(2 pi d).
    """
    if settings.flag("use_date_feats"):
        weight = weights["network.input.0.weight"]
        weights["network.input.0.weight"] = torch.cat((weight[:, :-2], -weight[:, [-1, -2]]), 1)


def _map_range(settings: Settings) -> tuple[Tensor, Tensor]:
    """Return scale and offset from coordinates over (180, 90) degrees to coordinates scaled to [-1, 1] on `map_range`."""

    def convert(value: Any) -> list[float] | None:
        fits = isinstance(value, list) and len(value) == 4 and all(map(_finite, value))
        return value if fits and value[0] < value[1] and value[2] < value[3] else None

    west, east, south, north = settings.take("map_range", "four degrees: west, east, south, north", convert)
    low, high = torch.tensor([[west / 180, south / 90], [east / 180, north / 90]], dtype=torch.float64)
    return 2 / (high - low), -(high + low) / (high - low)


def _on_globe(
    settings: Settings, weight: Float[Tensor, "n 2"], bias: Float[Tensor, "n"]
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n"]]:
    """Return the linear map of coordinates over (180, 90) degrees that equals one of coordinates scaled on `map_range`."""
    scale, offset = _map_range(settings)
    return weight.double() * scale, bias.double() + weight.double() @ offset


def _features_on_globe(settings: Settings, weights: dict[str, Tensor]) -> None:
    """Change the map of random Fourier features, which are cosines of a linear map."""
    frequency, shift = _on_globe(settings, weights["encoding.frequency"].T, weights["encoding.shift"])
    weights["encoding.frequency"], weights["encoding.shift"] = frequency.T.contiguous(), shift


def _first_layer_on_globe(settings: Settings, weights: dict[str, Tensor]) -> None:
    """Change the network's first layer, which is linear in the coordinates."""
    stem = "network.hidden_layers.0" if "network.hidden_layers.0.weight" in weights else "network.output"
    weight, bias = _on_globe(settings, weights[f"{stem}.weight"], weights[f"{stem}.bias"])
    skips = settings.flag("skip_connection")
    if skips and stem != "network.output" and len(weight) == 2 and not torch.equal(weight, weights[f"{stem}.weight"].double()):
        raise DataError(f"{settings.file}: params: hidden_dim is 2, so that coordinates scaled on map_range are added to it")
    weights[f"{stem}.weight"], weights[f"{stem}.bias"] = weight.float(), bias.float()


_GRID = Kind("grid", _geometric)
_THEORY = Kind("theory", _geometric)
_WRAP = Kind("wrap", _wrap_alone, network="residual", adapt=_dates_as_here, dated=True)
_WRAP_FFN = Kind("wrap", _nothing)
_SPHERE_C, _SPHERE_C_PLUS, _SPHERE_M = (Kind(name, _geometric) for name in ("sphereC", "sphereC+", "sphereM"))

GEO_PRIOR = "geo_prior"
"""Mac Aodha et al. 2019, whose files name no encoder: it is the one that CSP's code calls `geo_net`."""

KINDS: dict[str, Kind] = {
    GEO_PRIOR: _WRAP,
    "gridcell": _GRID,
    "gridcellnorm": _GRID,  # its conversion to radians comes after the phases and changes nothing
    "theory": _THEORY,
    "theorynorm": Kind("theory", _geometric_on_radians),
    "geo_net": _WRAP,
    "geo_net_fft": _WRAP_FFN,
    "naive": Kind("direct", _nothing, adapt=_first_layer_on_globe),
    "rff": Kind(
        "rff",
        _random_features,
        buffers={"spa_enc.dirvec": "encoding.frequency", "spa_enc.shift": "encoding.shift"},
        adapt=_features_on_globe,
    ),
    "xyz": Kind("xyz", _nothing),
    "nerf": Kind("nerf", _doubling),
    "sphere": _SPHERE_C,
    "spheregrid": _SPHERE_C_PLUS,
    "spheremixscale": _SPHERE_M,
    "spheregridmixscale": Kind("sphereM+", _geometric),
    "dft": Kind("dfs", _geometric),
    "Space2Vec-grid": _GRID,
    "Space2Vec-theory": _THEORY,
    "wrap": _WRAP,
    "wrap_ffn": _WRAP_FFN,
    "Sphere2Vec-sphereC": _SPHERE_C,
    "Sphere2Vec-sphereC+": _SPHERE_C_PLUS,
    "Sphere2Vec-sphereM": _SPHERE_M,
}
"""By `spa_enc_type`: geo_prior's, the names of the released CSP and Sphere2Vec code, those of TorchSpatial for the same."""

WITHOUT_EQUAL = {
    "rbf": "the file names its anchors by row numbers of the training set",
    "NeRF": "it has 16 scales, whatever its params hold",
    "Sphere2Vec-sphereM+": "its frequencies follow another rule than its params state",
    "Sphere2Vec-dfs": "its frequencies follow another rule than its params state",
}
"""Why some encoders are not imported, where the reason is not merely that nothing here equals them."""

ACTIVATIONS = {"relu": "relu", "leakyrelu": "leaky_relu", "gelu": "gelu", "sigmoid": "sigmoid", "tanh": "tanh"}
"""Activations by the released code's names (`spa_f_act`); the leaky one has slope 0.2 in both."""


def encoder_config(kind: Kind, settings: Settings) -> Config:
    """Return the config of the `LocationEncoder` that a checkpoint's params describe.

    Raises:
        DataError: a value is missing or unfit.
    """
    dim = settings.count("num_filts")
    config = {"encoding": {"name": kind.encoding, **kind.settings(settings)}, "dim": dim}
    if kind.dated and (time := _time(settings)):
        config["time"] = time
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
    if not settings.flag("skip_connection"):
        network["skip"] = False
    return config | {"network": network}
