"""How well photos find their overhead places, and overhead places their photos, among rows that nothing was trained on."""

import torch
from torch.nn.functional import normalize

from cspops.geo import haversine
from cspops.shapes import Float, Tensor

AT = (1, 5, 10)
"""The k of R@k."""
BLOCK = 1024


def retrieval(queries: Float[Tensor, "n d"], gallery: Float[Tensor, "n d"], lonlat: Float[Tensor, "n 2"]) -> dict[str, float]:
    """Return R@k and the median error of finding row i of the gallery by row i of the queries, by cosine.

    Rows of equal cosine with the right one count as found half before it: a gallery of equal rows gives chance.

    Args:
        queries: any length.
        gallery: any length.
        lonlat: degrees; the error is the distance from the right place to that of the best match.

    Returns:
        `r_1`, `r_5` and `r_10`, percent, and `median_km`.
    """
    q, g = normalize(queries, dim=1), normalize(gallery, dim=1)
    ranks, best = [], []
    for start in range(0, len(q), BLOCK):
        scores = q[start : start + BLOCK] @ g.T
        own = torch.arange(len(scores), device=scores.device)
        right = scores[own, own + start, None]
        ranks.append((scores > right).sum(1) + ((scores == right).sum(1) - 1) / 2)
        best.append(scores.argmax(1))
    rank = torch.cat(ranks)
    distance = haversine(lonlat.double(), lonlat[torch.cat(best).to(lonlat.device)].double())
    found = {f"r_{k}": round(100 * float((rank < k).double().mean()), 2) for k in AT}
    return found | {"median_km": round(float(distance.median()), 1)}
