"""The location encoder e(x) = network(encoding(x)), the thing the whole project trains."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from cspops.models.encodings import ENCODINGS
from cspops.models.networks import NETWORKS
from cspops.shapes import Float, LonLat, Tensor


class LocationEncoder(nn.Module):
    """Positions in degrees, longitude first, to embeddings.

    ``encoder(lonlat)`` is ``encoder.network(encoder.encoding(lonlat))``: where the same positions come again and
    again, encode them once.

    Args:
        config: ``{"encoding": {"name": ..., settings}, "network": {"name": ..., settings}, "dim": d}``; it is kept in
            ``self.config`` and rebuilds the module.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
        encoding, network = dict(config["encoding"]), dict(config["network"])
        self.encoding = ENCODINGS[encoding.pop("name")](**encoding)
        self.network = NETWORKS[network.pop("name")](self.encoding.dim, config["dim"], **network)
        self.dim: int = config["dim"]

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch d"]:
        embedding: Tensor = self.network(self.encoding(lonlat))
        return embedding
