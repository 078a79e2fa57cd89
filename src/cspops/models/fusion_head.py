"""P(y|I, x) in one network of image features and e(x), where the product takes image and place as independent given y."""

from typing import Literal

import torch
from torch import nn
from torch.nn.functional import gelu

from cspops.kernels import Linear
from cspops.models.checkpoint import Config
from cspops.models.heads import ABSENT, Standardise
from cspops.shapes import Float, Int, Tensor

Join = Literal["concat", "film"]


class FusionHead(nn.Module):
    """Scores of the classes from f = standardised F*(I) and e = standardised e(x): W [f, e] + b + V h.

    z = gelu(A e + a) is what h sees of the place:

    - `concat`: h = gelu(B [f, z] + c), one hidden layer on both.
    - `film`: h = gelu((1 + gamma) * (B f + c) + beta) with (gamma, beta) = G z + g, feature by feature (Perez et al. 2018,
      Eq. 1 and 2, with their gamma written as 1 + gamma).

    V starts at zero, so that the first scores are W [f, e] + b. Two softmax regressions side by side are of that form, and
    their softmax is their product, normalised: training can begin there, and h learns what no product can express.

    Args:
        join: which of the two.
        dim_image: k, of F*(I).
        dim_place: d, of e(x).
        classes: how many there are.
        hidden: the width of h and of z.
        dropout: of h, in training.
    """

    def __init__(self, join: Join, dim_image: int, dim_place: int, classes: int, *, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.config: Config = {
            "join": join, "dim_image": dim_image, "dim_place": dim_place, "classes": classes, "hidden": hidden,
            "dropout": dropout,
        }  # fmt: skip
        self.standardise_image, self.standardise_place = Standardise(dim_image), Standardise(dim_place)
        self.place = Linear(dim_place, hidden)
        self.film = Linear(hidden, 2 * hidden) if join == "film" else None
        self.body = Linear(dim_image if join == "film" else dim_image + hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.linear = Linear(dim_image + dim_place, classes)
        self.last = Linear(hidden, classes, bias=False)
        nn.init.zeros_(self.last.weight)

    def see(self, loc_emb: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch h"]:
        """Return z, what the hidden layer is told of places."""
        out: Tensor = gelu(self.place(self.standardise_place(loc_emb)))
        return out

    def scores(
        self, image_features: Float[Tensor, "*batch k"], loc_emb: Float[Tensor, "*batch d"], z: Float[Tensor, "*batch h"]
    ) -> Float[Tensor, "*batch q"]:
        """Return the scores of rows whose z is known."""
        f, e = self.standardise_image(image_features), self.standardise_place(loc_emb)
        if self.film is None:
            hidden = self.body(torch.cat((f, z), -1))
        else:
            gamma, beta = self.film(z).chunk(2, -1)
            hidden = (1 + gamma) * self.body(f) + beta
        out: Tensor = self.linear(torch.cat((f, e), -1)) + self.last(self.dropout(gelu(hidden)))
        return out

    def forward(
        self, image_features: Float[Tensor, "*batch k"], loc_emb: Float[Tensor, "*batch d"]
    ) -> Float[Tensor, "*batch q"]:
        return self.scores(image_features, loc_emb, self.see(loc_emb))

    @torch.no_grad()
    def among(self, present: Int[Tensor, "c"], classes: int, *, sharpness: float = 1.0) -> "FusionHead":
        """Return a head of all ``classes``: this one's, times ``sharpness``, are ``present``; the others get probability 0."""
        head = FusionHead(**(self.config | {"classes": classes}))
        state = {key: value.cpu() for key, value in self.state_dict().items()}
        theirs = {key: state.pop(key) for key in ("linear.weight", "linear.bias", "last.weight")}
        head.load_state_dict(state, strict=False)
        head.linear.weight.zero_()
        head.linear.bias.fill_(ABSENT)
        for key, value in theirs.items():
            head.get_parameter(key)[present] = sharpness * value
        return head.eval()
