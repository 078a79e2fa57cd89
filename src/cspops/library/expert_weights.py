"""How much each expert counts when a model is used: what the user says beside what validation chose.

With the prior weight W and the weights w of the experts, all 1 unless said otherwise, the pool becomes

    log P(y|I, x) = w_image a_W(d) log P(y|I) + w_place W b(d) log P_n(y|x) + const,
    a_W(d) = (1 - W) a_alone + W a(d),    P_n with w_neighbours c in place of c,

where a, b, c, d and P_n are those of `evaluation.pool`, and a_alone is the power of P(y|I) where there is no position. W = 1 is
the pool as it was fitted, W = 0 the calibrated image alone. The product has a = a_alone = b = 1 and c = 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cspops.errors import ParamsError, nearest
from cspops.library.combine import Combine

if TYPE_CHECKING:
    from cspops.evaluation.pool import Pool

EXPERTS = ("image", "place", "neighbours")
HEAVIEST = 1000.0


@dataclass(frozen=True)
class ExpertWeights:
    """The numbers of the formula above."""

    prior: float = 1.0
    image: float = 1.0
    place: float = 1.0
    neighbours: float = 1.0

    @classmethod
    def of(cls, prior_weight: float, weights: Mapping[str, float]) -> "ExpertWeights":
        """Return checked weights; a ParamsError says what is wrong with others."""
        if not 0 <= prior_weight <= 1:
            raise ParamsError(
                f"the prior weight is {prior_weight:g}: it goes from 0, the image alone, to 1, the fitted pool",
                hint="a place that is to count more than that: --weight place=2 (in Python weights={'place': 2})",
            )
        for name, weight in weights.items():
            if name not in EXPERTS:
                near = nearest(name, EXPERTS)
                guess = f"did you mean {near[0]}? " if near else ""
                raise ParamsError(f"there is no expert {name!r}", hint=f"{guess}the experts are {', '.join(EXPERTS)}")
            if not (math.isfinite(weight) and 0 <= weight <= HEAVIEST):
                raise ParamsError(f"the weight of {name} is {weight:g}", hint=f"a number from 0 to {HEAVIEST:g}")
        made = cls(prior_weight, **weights)
        if made.image == 0 and made.prior * made.place == 0:
            raise ParamsError("image and place both weigh 0: no expert is left", hint="give one of them a weight above 0")
        return made

    def require(self, combine: Combine) -> None:
        """Raise a ParamsError where ``combine`` is not made of the experts that have a weight of their own."""
        if self == FITTED:
            return
        if combine in ("image", "location"):
            raise ParamsError(
                f"weights are of experts that are put together, and combine is {combine}", hint="combine pool or product"
            )
        if combine == "product" and self.neighbours != 1:
            raise ParamsError(
                "the product counts no labelled neighbours to weigh", hint="weigh image and place, or combine pool"
            )

    def on(self, pool: "Pool") -> "Pool":
        """Return a pool whose experts count by these weights."""
        near, far = (self.image * ((1 - self.prior) * pool.image_alone + self.prior * power) for power in pool.image)
        return replace(
            pool,
            image=(near, far),
            place=(self.place * self.prior * pool.place[0], self.place * self.prior * pool.place[1]),
            image_alone=self.image * pool.image_alone,
            count_weight=self.neighbours * pool.count_weight,
        )

    def __str__(self) -> str:
        said = [("prior weight", self.prior), *((f"weight of {name}", getattr(self, name)) for name in EXPERTS)]
        return ", ".join(f"{name} {weight:g}" for name, weight in said if weight != 1)


FITTED = ExpertWeights()
"""The experts count as validation chose."""
