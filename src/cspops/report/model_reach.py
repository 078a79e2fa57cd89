"""How far from its labelled places a model knows something."""

from cspops.library.model import Model
from cspops.report.reach import Reach


def reach_of(model: Model) -> Reach:
    """Return the reach of a model's labelled places, no less than the kernel of its pool where that counts neighbours."""
    counts = model.pool is not None and model.pool.count_weight > 0
    return Reach.of(model.labelled_places.lonlat.numpy(), kernel_km=model.pool.kernel_km if counts and model.pool else 0.0)
