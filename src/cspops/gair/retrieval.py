"""How well photos find their overhead places, and overhead places their photos, among rows that nothing was trained on."""

import torch
from torch.nn.functional import normalize

from cspops.geo import haversine
from cspops.shapes import Float, Int, Tensor

AT = (1, 5, 10)
"""The k of R@k."""
BLOCK = 1024


def retrieval(queries: Float[Tensor, "n d"], gallery: Float[Tensor, "n d"], lonlat: Float[Tensor, "n 2"]) -> dict[str, float]:
    """Return R@k and the median error of finding row i of the gallery by row i of the queries, by cosine.

    Args:
        queries: any length.
        gallery: any length.
        lonlat: of the rows, degrees.

    Returns:
        `r_1`, `r_5` and `r_10`, per cent: the share of rows whose own one is among the first k, where equal cosines come in
        any order; `median_km`, of the distance from the right place to that of the best match.
    """
    q, g = normalize(queries, dim=1), normalize(gallery, dim=1)
    found, best = [], []
    for start in range(0, len(q), BLOCK):
        scores = q[start : start + BLOCK] @ g.T
        right = torch.arange(start, start + len(scores), device=scores.device)
        found.append(_found(scores, right))
        best.append(scores.argmax(1))
    distance = haversine(lonlat.double(), lonlat[torch.cat(best).to(lonlat.device)].double())
    return _summary(torch.cat(found), distance)


def within_image(
    photo: Float[Tensor, "n d"], overhead: Float[Tensor, "n m d"], lonlat: Float[Tensor, "n m 2"]
) -> dict[str, float]:
    """Return R@k and the median error of finding a photo's place among m places of its own overhead image.

    Args:
        photo: any length.
        overhead: features at the places, any length; the right one is the last.
        lonlat: of the places, degrees. The others are random, so that the first of them is a guess by chance.

    Returns:
        as `retrieval`, with `places`, m, and `chance_km`, the median distance to a place drawn by chance.
    """
    scores = torch.einsum("nd,nmd->nm", normalize(photo, dim=1), normalize(overhead, dim=2))
    m = scores.shape[1]
    right = torch.full((len(scores),), m - 1, device=scores.device)
    at = lonlat.double()
    best = at[torch.arange(len(at)), scores.argmax(1).to(at.device)]
    chance = {"places": m, "chance_km": _km(haversine(at[:, -1], at[:, 0]))}
    return chance | _summary(_found(scores, right), haversine(at[:, -1], best))


def _found(scores: Float[Tensor, "b m"], right: Int[Tensor, "b"]) -> Float[Tensor, "b k"]:
    """Return the probability that the right column is among the first k, for each k of ``AT``."""
    own = scores.gather(1, right[:, None])
    before, alike = (scores > own).sum(1), (scores == own).sum(1)
    return torch.stack([((k - before) / alike).clamp(0, 1) for k in AT], 1)


def _summary(found: Float[Tensor, "n k"], distance: Float[Tensor, "n"]) -> dict[str, float]:
    shares = {f"r_{k}": round(100 * float(share), 2) for k, share in zip(AT, found.double().mean(0), strict=True)}
    return shares | {"median_km": _km(distance)}


def _km(distance: Float[Tensor, "n"]) -> float:
    """Return the median to four digits."""
    return float(f"{float(distance.median()):.4g}")
