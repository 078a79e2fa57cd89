"""A location encoder with class embeddings: P(y|x)."""

from torch import nn

from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationEncoder
from cspops.shapes import Float, LonLat, Tensor


class LocationClassifier(nn.Module):
    """e and T together: positions to a score for each class.

    Args:
        link: `sigmoid` or `softmax`, what makes P(y|x) of the scores; it is kept in the config.
    """

    def __init__(self, encoder: LocationEncoder, class_embedding: ClassEmbedding, *, link: str = "sigmoid") -> None:
        super().__init__()
        self.encoder = encoder
        self.class_embedding = class_embedding
        self.link = link
        self.config = {"encoder": encoder.config, "classes": class_embedding.linear.out_features, "link": link}

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch q"]:
        scores: Tensor = self.class_embedding(self.encoder(lonlat))
        return scores
