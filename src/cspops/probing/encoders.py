"""What is probed: location encoders, and beside them what any honest table must beat.

| encoder                | features                                                                              |
|------------------------|---------------------------------------------------------------------------------------|
| constant               | none                                                                                  |
| neighbours of position | the unit vector, for the nearest rows by great circle alone                           |
| sin, cos               | the encoding `wrap`: sin and cos of the longitude and of twice the latitude           |
| xyz                    | the encoding `xyz`, the unit vector                                                   |
| spherical harmonics    | the encoding `spherical_harmonics` of degree 9                                        |
| a model                | e(x)                                                                                  |
| its untrained twin     | e(x) with the same architecture and fresh weights                                     |
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cspops.geo import unit_vectors
from cspops.models.encodings import ENCODINGS
from cspops.models.location_encoder import ROWS_AT_ONCE, LocationEncoder
from cspops.probing.probes import Features, ProbeName
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Tensor

BOTH: tuple[ProbeName, ...] = ("linear", "knn")
DEGREE = 9
POSITION = "neighbours of position"


@dataclass(frozen=True)
class Encoder:
    """A name, and what gives the features of positions."""

    name: str
    features: Callable[[Float[Tensor, "n 2"]], Features]
    probes: tuple[ProbeName, ...] = BOTH


def baselines() -> list[Encoder]:
    """Return the encoders without learning."""
    encodings = {
        "sin, cos": ENCODINGS["wrap"](),
        "xyz": ENCODINGS["xyz"](),
        "spherical harmonics": ENCODINGS["spherical_harmonics"](degree=DEGREE),
    }
    return [
        Encoder("constant", lambda lonlat: Features(torch.zeros(len(lonlat), 1)), ("constant",)),
        Encoder(POSITION, _position, ("knn",)),
        *(Encoder(name, _of(encoding)) for name, encoding in encodings.items()),
    ]


def learned(name: str, encode: Callable[[Float[Tensor, "n 2"]], Float[Tensor, "n d"]]) -> Encoder:
    """Return an encoder whose features are those of ``encode``."""
    return Encoder(name, _of(encode))


def untrained(encoder: LocationEncoder, name: str, *, seed: int) -> Encoder:
    """Return the same architecture with fresh weights; what is drawn from training positions (`rbf`) stays."""
    with global_torch_stream(seed, "probe", "untrained"):
        fresh = LocationEncoder(encoder.config)
    if not encoder.encoding.learnable:
        fresh.encoding.load_state_dict(encoder.encoding.state_dict())
    fresh.eval()
    return Encoder(name, _of(fresh))


def given(name: str, features: Float[Tensor, "n k"]) -> Encoder:
    """Return features that the rows of the target have of their own, in their order."""

    def of_rows(lonlat: Float[Tensor, "n 2"]) -> Features:
        assert len(lonlat) == len(features)
        return Features(features)

    return Encoder(name, of_rows)


def _position(lonlat: Float[Tensor, "n 2"]) -> Features:
    return Features(unit_vectors(lonlat.double()), scaled=False)


def _of(encode: Callable[[Tensor], Tensor]) -> Callable[[Float[Tensor, "n 2"]], Features]:
    @torch.inference_mode()
    def features(lonlat: Float[Tensor, "n 2"]) -> Features:
        return Features(torch.cat([encode(some).float().cpu() for some in lonlat.split(ROWS_AT_ONCE)]))

    return features
