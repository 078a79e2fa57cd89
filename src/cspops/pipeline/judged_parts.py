"""Which judged rows choose, the parts that are judged at a time, and which of these are a process's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from cspops.evaluation import pool_fit
from cspops.evaluation.pool_fit import Choosers
from cspops.evaluation.predictions import Judged
from cspops.geo import along_a_curve
from cspops.shapes import Bool, Int, Tensor

if TYPE_CHECKING:
    from cspops.ranks import Processes


def choosers(judged: Judged, may_choose: dict[str, Tensor], classes: int) -> tuple[Choosers, Tensor]:
    """Return which rows choose the pool, and a mask of those that choose the priors' settings.

    Args:
        judged: the rows.
        may_choose: which rows of the catalogue may choose: a mask for val and one for spatial_val, and of ``labelled``
            classes, one per class.
        classes: the number of classes.
    """
    val, spatial_val = (judged.roles[role] & may_choose[role][judged.row] for role in ("val", "spatial_val"))
    informed = judged.imaged & may_choose["labelled"][judged.label]
    of_pool = Choosers(
        *(
            (mask & informed).nonzero()[:, 0]
            for mask in (val & judged.located, spatial_val & judged.located, val & ~judged.located)
        )
    )
    of_priors = torch.zeros_like(val)
    of_priors[pool_fit.evenly((val & judged.located).nonzero()[:, 0], classes)] = True
    return of_pool, of_priors


def parts(judged: Judged, first: Bool[Tensor, "n"], size: int) -> Sequence[Tensor]:
    """Return the numbers of all judged rows, ``size`` at a time: the same parts for any number of processes.

    Those of the mask ``first`` come first, and neighbours on the map together: kernels reach few labelled rows then.
    """
    order = along_a_curve(judged.lonlat)
    rows = torch.cat((order[first[order]], order[~first[order]]))
    return [*rows.split(size)]


def asked(n: int, own: Sequence[Tensor], of_pool: Choosers, processes: "Processes") -> Int[Tensor, "m"]:
    """Return the judged rows whose neighbours a process needs: its own, and the first one those that choose the pool."""
    mask = torch.zeros(n, dtype=torch.bool)
    for rows in (*own, *((of_pool.val, of_pool.spatial_val) if processes.first else ())):
        mask[rows] = True
    return mask.nonzero()[:, 0]


def join(tensors: Sequence[Tensor], processes: "Processes") -> None:
    """Fill in, in place, what other processes have: each number is 0 in all processes but one."""
    if processes.size > 1:
        import torch.distributed as dist

        for tensor in tensors:
            dist.all_reduce(tensor.view(torch.uint8))  # bits: a sum of numbers would turn -0 to 0
