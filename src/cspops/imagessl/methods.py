"""The pre-training methods by name."""

from collections.abc import Callable

from cspops.imagessl.geo_ssl import geo_ssl
from cspops.imagessl.geokr import geokr
from cspops.imagessl.images import Pretrained
from cspops.imagessl.moco import moco
from cspops.imagessl.seco import seco
from cspops.imagessl.tile2vec import tile2vec

METHODS: dict[str, Callable[..., Pretrained]] = {
    "moco": moco,
    "geo_ssl": geo_ssl,
    "tile2vec": tile2vec,
    "seco": seco,
    "geokr": geokr,
}
"""The function of each method, which trains a network in place. It takes the network, `UnlabelledImages`, the method's
settings in params.yaml, a `Run`, and what `pipeline.pretraining_inputs` adds."""
