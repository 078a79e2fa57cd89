"""A location encoder with class embeddings: P(y|x)."""

from typing import Literal

from torch import nn

from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationEncoder
from cspops.shapes import Float, LonLat, Tensor

Link = Literal["sigmoid", "softmax"]
"""How scores become P(y|x): proportional to sigma(e(x) T) (paper, section 3.4), or their softmax."""


class LocationClassifier(nn.Module):
    """e and T together: positions to a score for each class.

    Args:
        link: what makes P(y|x) of the scores; it is kept in the config.
    """

    def __init__(self, encoder: LocationEncoder, class_embedding: ClassEmbedding, *, link: Link = "sigmoid") -> None:
        super().__init__()
        self.encoder = encoder
        self.class_embedding = class_embedding
        self.link: Link = link
        self.config = {"encoder": encoder.config, "classes": class_embedding.linear.out_features, "link": link}

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch q"]:
        scores: Tensor = self.class_embedding(self.encoder(lonlat))
        return scores
