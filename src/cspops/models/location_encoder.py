"""The location encoder e(x) = network(encoding(x)), which the whole project trains; with a time, e(x, t)."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from cspops.models.checkpoint import Config
from cspops.models.encodings import ENCODINGS
from cspops.models.encodings.times import TIMES
from cspops.models.heads import ClassEmbedding
from cspops.models.networks import NETWORKS, Dropout, two_passes
from cspops.shapes import Float, LonLat, Tensor

ROWS_AT_ONCE = 2**16
"""Positions encoded at once by `prepare`, which bounds the memory of the phases in float64."""


class LocationEncoder(nn.Module):
    """Positions in degrees, longitude first, and perhaps dates to embeddings.

    ``encoder(lonlat, when)`` is ``encoder.embed(encoder.prepare(lonlat, when))``: where the same positions come again and
    again, prepare them once. Prepared rows may be indexed and concatenated.

    Dates are shares of the year (see `data.dates`): nan for a row without one, None where no row has one. An encoder without
    time ignores them.

    Args:
        config: ``{"encoding": {"name": ..., settings}, "network": {"name": ..., settings}, "dim": d}``, with time
            ``"time": {"name": ..., settings, "dropped": share}`` too; it is kept in ``self.config`` and rebuilds the module.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = {key: copy.deepcopy(value) for key, value in config.items()}
        encoding, network = dict(config["encoding"]), dict(config["network"])
        self.encoding = ENCODINGS[encoding.pop("name")](**encoding)
        time = dict(config["time"]) if "time" in config else None
        self.drop_dates = Dropout(time.pop("dropped")) if time is not None else None
        self.time = TIMES[time.pop("name")](**time) if time is not None else None
        name, widths, of_time = network.pop("name"), self.encoding.widths, self.time.dim if self.time is not None else 0
        networks = [NETWORKS[name](width + of_time, config["dim"], **network) for width in widths]
        self.network = networks[0] if len(networks) == 1 else SumOfParts(networks, widths, of_time)
        self.dim: int = config["dim"]

    @property
    def takes_time(self) -> bool:
        """Whether the embedding depends on the date."""
        return self.time is not None

    def fit(self, lonlat: Float[Tensor, "n 2"], generator: torch.Generator) -> None:
        """Give the encoding what it needs of the training positions (anchors of `rbf`), before any `prepare`."""
        self.encoding.fit(lonlat, generator)

    def prepare(self, lonlat: LonLat, when: Float[Tensor, "*batch"] | None = None) -> Float[Tensor, "*batch w"]:
        """Compute what training leaves unchanged: the encoding, or where it is learned the positions in float64.

        The features of the date come last.
        """
        encoded = lonlat.double() if self.encoding.learnable else self._encoding_of(lonlat)
        if self.time is None:
            return encoded
        dates = torch.full_like(lonlat[..., 0], torch.nan) if when is None else when.to(lonlat.device)
        return torch.cat((encoded, self.time(dates).to(encoded.dtype)), -1)

    def _encoding_of(self, lonlat: LonLat) -> Float[Tensor, "*batch w"]:
        if lonlat.numel() <= 2 * ROWS_AT_ONCE:
            encoded: Tensor = self.encoding(lonlat)
        else:
            blocks = lonlat.reshape(-1, 2).split(ROWS_AT_ONCE)
            encoded = torch.cat([self.encoding(block) for block in blocks]).reshape(*lonlat.shape[:-1], -1)
        return encoded

    def embed(self, prepared: Float[Tensor, "*batch w"], repeated: int = 0) -> Float[Tensor, "*again d"]:
        """Return embeddings of prepared positions; see `two_passes` for ``repeated``.

        In training mode some rows, drawn afresh for each pass, lose their dates: so e(x) without a date is learned, too.
        """
        if self.time is not None:
            return self._embed_dated(torch.cat((prepared[:repeated], prepared)) if repeated else prepared, self.time.dim)
        encoded: Tensor = self.encoding(prepared) if self.encoding.learnable else prepared
        embedding: Tensor = two_passes(self.network, encoded, repeated) if repeated else self.network(encoded)
        return embedding

    def _embed_dated(self, prepared: Float[Tensor, "*batch w"], of_time: int) -> Float[Tensor, "*batch d"]:
        place, date = prepared[..., :-of_time], prepared[..., -of_time:].float()
        if self.drop_dates is not None and self.drop_dates.training:
            date = date * self.drop_dates(date.new_ones(*date.shape[:-1], 1)).sign()
        encoded: Tensor = self.encoding(place) if self.encoding.learnable else place
        embedding: Tensor = self.network(torch.cat((encoded, date), -1))
        return embedding

    def forward(self, lonlat: LonLat, when: Float[Tensor, "*batch"] | None = None) -> Float[Tensor, "*batch d"]:
        return self.embed(self.prepare(lonlat, when))


class SumOfParts(nn.Module):
    """One network per part of an encoding, their outputs summed (GeoCLIP: one part per scale).

    The ``of_time`` features of a date, after the parts, go to each network.
    """

    def __init__(self, networks: Sequence[nn.Module], widths: Sequence[int], of_time: int = 0) -> None:
        super().__init__()
        self.parts = nn.ModuleList(networks)
        self.widths, self.of_time = tuple(widths), of_time

    def forward(self, x: Float[Tensor, "*batch w"]) -> Float[Tensor, "*batch d"]:
        parts: Sequence[Tensor] = x.split((*self.widths, self.of_time) if self.of_time else self.widths, -1)
        if self.of_time:
            parts = [torch.cat((part, parts[-1]), -1) for part in parts[:-1]]
        outputs = [network(part) for network, part in zip(self.parts, parts, strict=True)]
        return torch.stack(outputs).sum(0)


Link = Literal["sigmoid", "softmax"]
"""How scores s become P(y|x): proportional to sigma(s) (paper, section 3.4), or their softmax."""


class LocationClassifier(nn.Module):
    """e and T together: from positions, and perhaps dates, to one score per class.

    Args:
        link: how scores become P(y|x); it is kept in the config.
    """

    def __init__(self, encoder: LocationEncoder, class_embedding: ClassEmbedding, *, link: Link = "sigmoid") -> None:
        super().__init__()
        self.encoder = encoder
        self.class_embedding = class_embedding
        self.link: Link = link
        linear = class_embedding.linear
        has_bias = {} if linear.bias is None else {"bias": True}
        self.config: Config = {"encoder": encoder.config, "classes": linear.out_features, "link": link} | has_bias

    def forward(self, lonlat: LonLat, when: Float[Tensor, "*batch"] | None = None) -> Float[Tensor, "*batch q"]:
        scores: Tensor = self.class_embedding(self.encoder(lonlat, when))
        return scores
