"""The tables of `Predictor.log_p`, as far as ranks, best classes and the log P of a few of them need them.

Ranks need the order of a row's classes alone, which logits and scores have in float32, and P(y|I) P(y|x) without its sum. The
logarithm of each P(y|x) is left to the pool. `Predictor.log_p` is the readable way; it is also the way taken where
probabilities would underflow, or differ by less than float64 resolves.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from cspops.evaluation.metrics import Judgement, best_classes, quick_ranks
from cspops.evaluation.pool import Neighbours, Pool
from cspops.evaluation.predictor import Predictor, image_log_p, location_log_p
from cspops.models.location_encoder import Link
from cspops.shapes import Bool, Float, Int, Tensor

WIDEST = 300.0
"""Between a row's logits, and below 0 of a score: the product of two such probabilities is above float64's least number."""
HIGHEST = 15.0
"""Of a score: above it sigma comes so close to 1 that neighbouring float32 scores begin to share a probability."""


class Table(NamedTuple):
    """P(y|.) of some rows."""

    order: Float[Tensor, "n q"]
    """It rises with P(y|.)."""
    log_p: Callable[[Int[Tensor, "n k"]], Float[Tensor, "n k"]]
    """From classes of each row to their log P in float64."""

    def judge(self, label: Int[Tensor, "n"], k: int) -> tuple[Judgement, Int[Tensor, "n k"]]:
        """Return what `metrics.judge` finds, and the classes of `best_classes`."""
        best = best_classes(self.order, k)[1]
        own, top = self.log_p(torch.stack((label, best[:, 0]), 1)).unbind(1)
        return Judgement(quick_ranks(self.order, label), own, top.exp()), best


def model_tables(
    image: Float[Tensor, "n q"],
    location: Float[Tensor, "n q"],
    located: Bool[Tensor, "n"],
    *,
    link: Link = "sigmoid",
    pool: Pool | None = None,
    near: Neighbours | None = None,
    fusion: Float[Tensor, "n q"] | None = None,
) -> Iterator[tuple[str, Table]]:
    """Yield name and table of each model, as `Predictor.log_p` does.

    Args:
        image: logits, or any scores whose softmax is P(y|I); finite.
        location: scores e(x) T (+ b), finite; of any value where ``located`` is false.
        located: which rows have a position.
        link: how ``location`` becomes P(y|x).
        pool: a pool, together with ``near``.
        near: the labelled neighbours of the rows.
        fusion: log P of a network of both, if there is one.
    """
    if link != "sigmoid" or not located.all() or not _moderate(image, location):
        predictor = Predictor(
            lambda _: image_log_p(image),
            lambda _: location_log_p(location, located, link=link),
            pool,
            None if near is None else lambda _: near,
            None if fusion is None else lambda *_: fusion,
        )
        yield from ((name, _of_log_p(log_p)) for name, log_p in predictor.log_p(..., ..., located))
        return
    logits = image.double()
    p, sigma = logits.softmax(1), location.double().sigmoid_()
    total = sigma.sum(1, keepdim=True)
    yield "image", Table(image, lambda classes: p.gather(1, classes).log_())
    yield "location", Table(location, lambda classes: sigma.gather(1, classes).div_(total).log_())
    product = p * sigma
    yield "combined", Table(product, lambda classes: product.gather(1, classes).div_(product.sum(1, keepdim=True)).log_())
    if pool is not None and near is not None:  # a logit is log P(y|I) but for a number per row, which the pool divides out
        yield "pool", _of_log_p(pool.log_p(logits, sigma.log().sub_(total.log()), near, located))
    if fusion is not None:
        yield "fusion", _of_log_p(fusion)


def _of_log_p(log_p: Tensor) -> Table:
    return Table(log_p, lambda classes: log_p.gather(1, classes).double())


def _moderate(image: Tensor, location: Tensor) -> bool:
    """Return whether no probability, nor a product of two, leaves the range where float64 is precise; not so of no row."""
    if image.numel() == 0:
        return False
    low, high, least, most = (float(one) for one in (image.amin(), image.amax(), location.amin(), location.amax()))
    return high - low < WIDEST and least > -WIDEST and most < HIGHEST
