"""Metrics of P(y|.): ranks of the true class in per cent, its negative log-likelihood, and the calibration error."""

import torch

from cspops.shapes import Bool, Float, Int, Tensor

TOP_K = (1, 3, 5, 10)
BINS = 15
METRICS = (*(f"top{k}" for k in TOP_K), "mrr", "balanced_top1", "nll", "ece")


def ranks(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The rank of the true class, 1 for the best; classes tied with it count half."""
    own = log_p.gather(1, label[:, None])
    above = (~(log_p <= own)).sum(1)
    tied = (log_p == own).sum(1) - 1
    return 1 + above + tied / 2


def hits(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Bool[Tensor, "n"]:
    """Whether the true class comes first; a tie for the first place is no hit."""
    return ranks(log_p, label) < 1.5


def expected_calibration_error(
    confidence: Float[Tensor, "n"], hit: Bool[Tensor, "n"], *, bins: int = BINS
) -> Float[Tensor, ""]:
    """Mean over rows of |accuracy - mean confidence| of the row's bin, in per cent (Guo et al. 2017, Eq. 3).

    Args:
        confidence: P of the top class; the bins ((b-1)/bins, b/bins] are equally wide.
        hit: whether the top class is the true one.
    """
    bin_of = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, hit.double() - confidence.double())
    return 100 * gap.abs().sum() / len(hit)


def score(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> dict[str, float]:
    """Every metric of ``METRICS``.

    top1 to top10, mrr (mean reciprocal rank), balanced_top1 (mean of the classes' own top1) and ece are per cent, nll
    is the mean of -log P(true class) in nats. nan for an empty set. Classes that do not occur in ``label`` do not count
    in balanced_top1. Where there are fewer than k classes every row hits the top k.
    """
    rank = ranks(log_p, label).double()
    hit = hits(log_p, label)
    classes = log_p.shape[1]
    of_class = torch.bincount(label, minlength=classes)
    hits_of_class = torch.zeros(classes, dtype=torch.float64).index_add_(0, label, hit.double())
    per_class = (hits_of_class / of_class)[of_class > 0]
    out = {f"top{k}": 100 * (rank < k + 0.5).double().mean() for k in TOP_K}
    out |= {"mrr": 100 * (1 / rank).mean(), "balanced_top1": 100 * per_class.mean()}
    out["nll"] = -log_p.double().gather(1, label[:, None]).mean()
    out["ece"] = expected_calibration_error(log_p.double().amax(1).exp().nan_to_num(), hit)
    return {name: float(value) for name, value in out.items()}
