"""Combined scores of many observations and many classes, some rows at a time: the n x q matrices are never held."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid

from cspops.kernels import keep_freed_memory
from cspops.models.location_encoder import Link
from cspops.shapes import Bool, Float, Int, Tensor

ROWS = 512
GROUP = 64
"""Columns of which the largest is looked for first."""
SMALL = 1e-30
"""Products of probabilities above it have float32's full precision, whatever their factors."""

Scores = Callable[[slice], Tensor]
"""Rows to their scores (b, q)."""


class Block(NamedTuple):
    """Some rows of an evaluation; classes are ranked alike by scores and by the log-probabilities they stand for."""

    rows: slice
    image: Float[Tensor, "b q"]
    """Logits of the classifier g, of which log P(y|I) is the log_softmax."""
    location: Float[Tensor, "b q"]
    """log sigma(e(x) T) (e(x) T with the link `softmax`), of which log P(y|x) is the log_softmax; 0 without a location."""
    combined: Float[Tensor, "b q"]
    """log P(y|I) P(y|x), normalised (paper, section 3.4)."""


def combined_in_blocks(
    image: Scores, location: Scores, located: Bool[Tensor, "n"], *, link: Link = "sigmoid", rows: int = ROWS
) -> Iterator[Block]:
    """`combine.combined_log_p` without its intermediate steps: log_softmax(logits + log sigma(e(x) T)).

    What the two softmaxes divide by is the same for every class and falls out of the last one. In float32 a log P within
    20 of the row's best differs from that of float64 by less than 1e-5.

    Args:
        image: logits of g.
        location: e(x) T; may hold anything, nan too, where ``located`` is false.
        located: which observations have a location.
        link: as in `combine.location_log_p`.
        rows: observations at a time.
    """
    log_prior = logsigmoid if link == "sigmoid" else _as_it_is
    for now, logits, prior in _parts(image, location, located, rows, log_prior):
        yield Block(now, logits, prior, (logits + prior).log_softmax(-1))


def top_in_blocks(
    image: Scores, location: Scores, located: Bool[Tensor, "n"], k: int, *, link: Link = "sigmoid", rows: int = ROWS
) -> Int[Tensor, "n top"]:
    """The k classes of the largest P(y|I) P(y|x), all where there are fewer, best first; arguments as above.

    With the link `sigmoid` probabilities are multiplied, which is quicker than adding their logarithms. Where the last
    of the k is so small that others may have underflowed, the row is done again with logarithms.
    """
    best = []
    for _, logits, prior in _parts(image, location, located, rows, _as_it_is):
        if link == "softmax":
            best.append(top(logits + prior, k))
            continue
        p = logits.softmax(-1).mul_(prior.sigmoid())
        chosen = top(p, k)
        small = p.gather(1, chosen[:, -1:])[:, 0] < SMALL
        if bool(small.any()):
            chosen[small] = top(logits[small] + logsigmoid(prior[small]), k)
        best.append(chosen)
    return torch.cat(best)


def _parts(
    image: Scores, location: Scores, located: Bool[Tensor, "n"], rows: int, change: Callable[[Tensor], Tensor]
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some rows at a time: which, their logits of g, and ``change`` of their e(x) T, 0 where there is no location."""
    keep_freed_memory()
    everywhere = bool(located.all())
    for first in range(0, len(located), rows):
        now = slice(first, min(first + rows, len(located)))
        logits, prior = image(now), change(location(now))
        yield now, logits, prior if everywhere else prior.where(located[now, None], 0)


def _as_it_is(scores: Tensor) -> Tensor:
    return scores


def top(scores: Float[Tensor, "b q"], k: int) -> Int[Tensor, "b top"]:
    """The k columns of the largest scores, best first: those of the k best groups of columns hold them all."""
    q = scores.shape[1]
    groups = q // GROUP
    if groups < 2 * k:
        return scores.topk(min(k, q), dim=1).indices
    best = scores[:, : groups * GROUP].unflatten(1, (groups, GROUP)).amax(2).topk(k, dim=1).indices
    columns = (best[:, :, None] * GROUP + torch.arange(GROUP, device=scores.device)).flatten(1)
    rest = torch.arange(groups * GROUP, q, device=scores.device).expand(len(scores), -1)
    columns = torch.cat((columns, rest), 1)
    return columns.gather(1, scores.gather(1, columns).topk(k, dim=1).indices)
