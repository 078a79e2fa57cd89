"""The pre-training methods by name."""

from collections.abc import Callable
from typing import Any

from cspops.imagessl.geo_ssl import GeoSslSettings, geo_ssl
from cspops.imagessl.geokr import GeokrSettings, geokr
from cspops.imagessl.images import Pretrained
from cspops.imagessl.moco import MocoSettings, moco
from cspops.imagessl.seco import SecoSettings, seco
from cspops.imagessl.tile2vec import Tile2VecSettings, tile2vec

METHODS: dict[str, tuple[type, Callable[..., Pretrained]]] = {
    "moco": (MocoSettings, moco),
    "geo_ssl": (GeoSslSettings, geo_ssl),
    "tile2vec": (Tile2VecSettings, tile2vec),
    "seco": (SecoSettings, seco),
    "geokr": (GeokrSettings, geokr),
}
"""Of each method the class of its settings and the function that trains a network with them."""


def pretrain_image_network(method: str, network: Any, images: Any, settings: dict[str, Any], **others: Any) -> Pretrained:
    """Train ``network`` in place by ``method``; ``others`` are its further keywords (see `moco.moco`)."""
    kind, train = METHODS[method]
    return train(network, images, kind(**settings), **others)
