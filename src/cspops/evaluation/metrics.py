"""Metrics of P(y|.): ranks of the true class in per cent, its negative log-likelihood, and the calibration error.

They are means over the rows of what `judge` returns: three numbers per row instead of one per class. `summarise` takes
their mean and standard deviation over seeds.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from cspops.errors import DataError
from cspops.shapes import Bool, Float, Int, Tensor

TOP_K = (1, 3, 5, 10)
BINS = 15
PARTS = 24
"""Classes of a group in `best_classes`."""
METRICS = (*(f"top{k}" for k in TOP_K), "mrr", "balanced_top1", "nll", "ece")
MODELS = ("image", "location", "combined", "pool")
"""What is evaluated per seed and label ratio: two models, their product, and the pool of experts."""
FUSION = "fusion"
"""Evaluated beside them where stage finetune-loc has trained one network of image and place."""

Scores = dict[tuple[str, str, str, int], Mapping[str, float]]
"""(role, ratio key, model, seed) to metrics."""

Summary = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
"""role, ratio key, model, metric, then `mean` and `sd`, the sample standard deviation over seeds."""


def ranks(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return the rank of the true class, 1 for the best; classes tied with it count half."""
    own = log_p.gather(1, label[:, None])
    above = (~(log_p <= own)).sum(1)  # not `>`: a nan counts as above, so that a broken model never scores
    tied = (log_p == own).sum(1) - 1
    return 1 + above + tied / 2


class Judgement(NamedTuple):
    """What the metrics need of each row."""

    rank: Float[Tensor, "n"]
    """Of the true class, as `ranks` has it."""
    own: Float[Tensor, "n"]
    """log P of the true class."""
    confidence: Float[Tensor, "n"]
    """P of the top class."""

    @property
    def hits(self) -> Bool[Tensor, "n"]:
        """Whether the true class comes first; a tie for the first place is no hit."""
        return self.rank < 1.5

    def put(self, rows: Int[Tensor, "b"], some: "Judgement") -> None:
        """Store the numbers of ``rows``."""
        for every, numbers in zip(self, some, strict=True):
            every[rows] = numbers

    def of(self, rows: Bool[Tensor, "n"]) -> "Judgement":
        """Return those rows alone."""
        return Judgement(*(numbers[rows] for numbers in self))


def quick_ranks(order: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return `ranks` of what rises with P; of finite numbers only."""
    lead = torch.sub(order, order.gather(1, label[:, None])).sign_().sum(1)
    return (order.shape[1] + 1 + lead.float()) / 2  # classes above minus classes below: faster than to count either


def judge(log_p: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Judgement:
    """Judge each row; the rows may be a part of an evaluation."""
    log_p = log_p.double()
    own, top = log_p.gather(1, label[:, None])[:, 0], log_p.amax(1)
    rank = (ranks if top.isnan().any() else quick_ranks)(log_p, label)
    return Judgement(rank, own, top.exp().nan_to_num())


def best_classes(log_p: Float[Tensor, "n q"], k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Return the ``k`` greatest log P of each row and their classes, best first, or all where there are fewer.

    The order of equals is open. They are all in the k groups with the greatest maxima, where a group is every w-th class:
    the maxima are found faster than the classes.
    """
    n, q = log_p.shape
    width = q // PARTS
    if width < 2 * k:
        best = log_p.topk(min(k, q), dim=1)
        return best.values, best.indices
    groups = log_p[:, : width * PARTS].view(n, PARTS, width).amax(1).topk(k, dim=1, sorted=False).indices
    rest = torch.arange(width * PARTS, q).expand(n, -1)
    among = torch.cat(((groups[:, :, None] + width * torch.arange(PARTS)).flatten(1), rest), 1)
    best = log_p.gather(1, among).topk(k, dim=1)
    return best.values, among.gather(1, best.indices)


def blank(rows: int) -> Judgement:
    """Return a judgement of ``rows`` rows, all 0, to be filled by `Judgement.put`."""
    return Judgement(torch.zeros(rows), *torch.zeros(2, rows, dtype=torch.float64))


def expected_calibration_error(
    confidence: Float[Tensor, "n"], hit: Bool[Tensor, "n"], *, bins: int = BINS
) -> Float[Tensor, ""]:
    """Return the mean over rows of |accuracy - mean confidence| of the row's bin, in per cent (Guo et al. 2017, Eq. 3).

    Args:
        confidence: P of the top class; the bins ((b-1)/bins, b/bins] are equally wide.
        hit: whether the top class is the true one.
    """
    bin_of = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, hit.double() - confidence.double())
    return 100 * gap.abs().sum() / len(hit)


def score(judgement: Judgement, label: Int[Tensor, "n"], *, classes: int) -> dict[str, float]:
    """Return every metric of ``METRICS``.

    top1 to top10, mrr (mean reciprocal rank), balanced_top1 (mean of the classes' own top1) and ece are per cent, nll
    is the mean of -log P(true class) in nats. nan for an empty set. Classes that do not occur in ``label`` do not count
    in balanced_top1. Where there are fewer than k classes every row hits the top k.
    """
    rank, hit = judgement.rank.double(), judgement.hits
    of_class = torch.bincount(label, minlength=classes)
    hits_of_class = torch.zeros(classes, dtype=torch.float64).index_add_(0, label, hit.double())
    per_class = (hits_of_class / of_class)[of_class > 0]
    out = {f"top{k}": 100 * (rank < k + 0.5).double().mean() for k in TOP_K}
    out |= {"mrr": 100 * (1 / rank).mean(), "balanced_top1": 100 * per_class.mean()}
    out["nll"] = -judgement.own.mean()
    out["ece"] = expected_calibration_error(judgement.confidence, hit)
    return {name: float(value) for name, value in out.items()}


def summarise(
    scores: Scores, *, roles: Sequence[str], ratios: Sequence[str], seeds: Sequence[int], models: Sequence[str] = MODELS
) -> Summary:
    """Return the tree of scores.json, rounded to 4 digits; sd is 0 for one seed.

    Roles without rows, whose every metric is nan, are left out; any other number that is not finite is a DataError.
    """
    out: Summary = {}
    for role in roles:
        for ratio in ratios:
            for model in models:
                runs = [scores[role, ratio, model, seed] for seed in seeds]
                if all(math.isnan(value) for run in runs for value in run.values()):
                    continue
                out.setdefault(role, {}).setdefault(ratio, {})[model] = {
                    metric: _mean_and_sd([run[metric] for run in runs], f"{metric} of {model} on {role}, {ratio},")
                    for metric in runs[0]
                }
    return out


def _mean_and_sd(values: list[float], what: str) -> dict[str, float]:
    if not all(map(math.isfinite, values)):
        raise DataError(f"{what} is {values}, not finite", hint="dvc repro -f finetune-img finetune-loc")
    return {
        "mean": round(statistics.fmean(values), 4),
        "sd": round(statistics.stdev(values), 4) if len(values) > 1 else 0.0,
    }
