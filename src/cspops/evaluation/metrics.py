"""Metrics of ranked classes, in per cent."""

import torch

from cspops.shapes import Float, Int, Tensor

TOP_K = (1, 3, 5)


def ranks(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The rank of the true class, 1 for the best; classes tied with it count half."""
    own = log_p.gather(1, label[:, None])
    above = (~(log_p <= own)).sum(1)
    tied = (log_p == own).sum(1) - 1
    return 1 + above + tied / 2


def score(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> dict[str, float]:
    """top1, top3, top5, mrr (mean reciprocal rank) and balanced_top1 (mean of the classes' own top1), per cent.

    nan for an empty set. Classes that do not occur in ``label`` do not count in balanced_top1.
    """
    rank = ranks(log_p, label).double()
    hit = (rank < 1.5).double()  # a tie for the first place with one other class is no hit
    classes = log_p.shape[1]
    of_class = torch.bincount(label, minlength=classes)
    hits_of_class = torch.zeros(classes, dtype=torch.float64).index_add_(0, label, hit)
    per_class = (hits_of_class / of_class)[of_class > 0]
    out = {f"top{k}": (rank < k + 0.5).double().mean() for k in TOP_K}
    out |= {"mrr": (1 / rank).mean(), "balanced_top1": per_class.mean()}
    return {name: 100 * float(value) for name, value in out.items()}
