"""Sections of the location encoder: one model per encoding and one per network, so that a foreign setting is an error."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, model_validator

from cspops.params.section import FEW, Factor, NameIn, PartialShare, Possible, Scale, Section, Width

Degrees = Annotated[float, Field(ge=1e-6, le=360)]


class NoSettings(Section):
    pass


class TileEncoding(Section):
    cell: Annotated[float, Field(ge=0.1, le=90)]
    features: Width

    @model_validator(mode="after")
    def _size(self) -> "TileEncoding":
        size = math.ceil(360 / self.cell) * math.ceil(180 / self.cell) * self.features
        if size > 10**8:
            raise ValueError(f"cell {self.cell} and features {self.features} make a table of {size} numbers, at most 10^8 fit")
        return self


class NerfEncoding(Section):
    scales: Annotated[int, Field(ge=1, le=32)]


class RbfEncoding(Section):
    anchors: Width
    sigma: Degrees


class RffEncoding(Section):
    features: Width
    variance: Factor


class ScalesEncoding(Section):
    scales: Annotated[int, Field(ge=1, le=1024)]
    r_min: Scale
    r_max: Scale

    @model_validator(mode="after")
    def _order(self) -> "ScalesEncoding":
        if self.r_min >= self.r_max and self.scales > 1:
            raise ValueError(f"r_min {self.r_min} must be less than r_max {self.r_max}")
        return self


class GridEncoding(ScalesEncoding):
    pass


class TheoryEncoding(ScalesEncoding):
    pass


class Sphere2VecEncoding(ScalesEncoding):
    pass


class DfsEncoding(ScalesEncoding):
    scales: Annotated[int, Field(ge=1, le=64)]


class SphericalHarmonicsEncoding(Section):
    degree: Annotated[int, Field(ge=0, le=128)]


class EqualEarthRffEncoding(Section):
    features: Width
    sigmas: tuple[Factor, ...] = Field(min_length=1, max_length=FEW)

    @model_validator(mode="after")
    def _distinct(self) -> "EqualEarthRffEncoding":
        if any(a >= b for a, b in pairwise(self.sigmas)):
            raise ValueError(f"sigmas {list(self.sigmas)} must increase, without repeats")
        return self


class Encodings(Section):
    direct: Possible[NoSettings] = None
    tile: Possible[TileEncoding] = None
    wrap: Possible[NoSettings] = None
    xyz: Possible[NoSettings] = None
    nerf: Possible[NerfEncoding] = None
    rbf: Possible[RbfEncoding] = None
    rff: Possible[RffEncoding] = None
    grid: Possible[GridEncoding] = None
    theory: Possible[TheoryEncoding] = None
    sphereC: Possible[Sphere2VecEncoding] = None
    sphereC_plus: Possible[Sphere2VecEncoding] = Field(None, alias="sphereC+")
    sphereM: Possible[Sphere2VecEncoding] = None
    sphereM_plus: Possible[Sphere2VecEncoding] = Field(None, alias="sphereM+")
    dfs: Possible[DfsEncoding] = None
    spherical_harmonics: Possible[SphericalHarmonicsEncoding] = None
    equal_earth_rff: Possible[EqualEarthRffEncoding] = None


class FfnNetwork(Section):
    hidden_layers: Annotated[int, Field(ge=0, le=16)]
    hidden: Width
    activation: Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh"]
    dropout: PartialShare
    layer_norm: bool
    output_activation: bool


class ResidualNetwork(Section):
    layers: Annotated[int, Field(ge=0, le=64)]
    dropout: PartialShare


class SirenNetwork(Section):
    hidden_layers: Annotated[int, Field(ge=1, le=16)]
    hidden: Width
    w0: Factor
    w0_hidden: Factor
    dropout: PartialShare


class Networks(Section):
    ffn: Possible[FfnNetwork] = None
    residual: Possible[ResidualNetwork] = None
    siren: Possible[SirenNetwork] = None


class CosSinTime(Section):
    dropped: PartialShare


class HarmonicsTime(Section):
    orders: Annotated[int, Field(ge=1, le=32)]
    dropped: PartialShare


class Times(Section):
    none: Possible[NoSettings] = NoSettings()
    cos_sin: Possible[CosSinTime] = None
    harmonics: Possible[HarmonicsTime] = None


class EncodingChoice(Section):
    name: Annotated[str, NameIn(Encodings)]


class NetworkChoice(Section):
    name: Annotated[str, NameIn(Networks)]


class LocationEncoderSection(Section):
    encoding: EncodingChoice
    network: NetworkChoice
    dim: Width


class LocationEncoderFrom(LocationEncoderSection):
    """The run's location encoder, its time, and the weights that it starts from."""

    time: Annotated[str, NameIn(Times)] = "none"
    weights: Annotated[str, Field(pattern=r"^(random|file:.*\S.*)$")] = "random"

    @property
    def folder(self) -> Path | None:
        """Of an encoder to start from, whose own encoding, network and width count; None for random weights."""
        return None if self.weights == "random" else Path(self.weights.removeprefix("file:").strip()).expanduser()


class WholeLocationEncoder(LocationEncoderSection):
    """A location encoder with the settings of what it chooses beside it."""

    encodings: Encodings
    networks: Networks

    @field_serializer("encodings", "networks", mode="wrap")
    def _that_are_there(self, catalogue: Encodings | Networks, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leave out absent sections: what is recorded of a run is read again, and null is no section."""
        return {key: section for key, section in dump(catalogue).items() if section is not None}

    @model_validator(mode="after")
    def _chosen(self) -> "WholeLocationEncoder":
        for name, catalogue in ((self.encoding.name, self.encodings), (self.network.name, self.networks)):
            if settings_of(catalogue, name) is None:
                raise ValueError(f"the settings of {name} are missing")
        return self

    def config(self) -> dict[str, Any]:
        """Return what `models.location_encoder.LocationEncoder` takes."""
        return encoder_config(
            self, settings_of(self.encodings, self.encoding.name), settings_of(self.networks, self.network.name)
        )


def settings_of(catalogue: Encodings | Networks, name: str) -> Section | None:
    """Return a section by its key in params.yaml, None where it is absent."""
    section: Section | None = getattr(catalogue, catalogue.fields_by_key()[name])
    return section


def encoder_config(
    chosen: LocationEncoderSection, encoding: Section | None, network: Section | None, *, time: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what `models.location_encoder.LocationEncoder` takes; absent settings make a null, and no time no key."""
    return {
        "encoding": _named(chosen.encoding.name, encoding),
        "network": _named(chosen.network.name, network),
        "dim": chosen.dim,
    } | ({"time": time} if time else {})


def time_config(chosen: LocationEncoderFrom, settings: Section) -> dict[str, Any] | None:
    """Return what the time encoding of a `LocationEncoder` takes; None where it has no time."""
    return None if chosen.time == "none" else _named(chosen.time, settings)


def _named(name: str, settings: Section | None) -> dict[str, Any] | None:
    return None if settings is None else {"name": name} | settings.model_dump()
