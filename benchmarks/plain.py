"""Pre-train, fine-tune and evaluate in the plain way, against which the functions of `cspops` are timed.

A Dataset that indexes one row, a position encoding by numpy in each pass, three separate passes, `torch.nn.Dropout`, the
whole graph over batch x classes, torch's default Adam, and an evaluation that sorts all classes of one row after another.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import logsigmoid, normalize
from torch.utils.data import Dataset


class Rows(Dataset[tuple[np.ndarray, np.ndarray | int]]):
    """Positions with an image's features, or with a label."""

    def __init__(self, lonlat: np.ndarray, other: np.ndarray) -> None:
        self.lonlat, self.other = lonlat, other

    def __len__(self) -> int:
        return len(self.lonlat)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray | int]:
        return self.lonlat[i], self.other[i]


class Encoder(nn.Module):
    """Grid encoding and a network of one hidden layer, with the parameters of `cspops.models.networks.Ffn`."""

    def __init__(self, scales: int, r_min: float, r_max: float, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.frequency = 1 / np.geomspace(r_min, r_max, scales)
        self.hidden_layers = nn.ModuleList([nn.Linear(4 * scales, hidden)])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden)])
        self.output = nn.Linear(hidden, dim)
        self.activation = nn.LeakyReLU(0.2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, lonlat: np.ndarray) -> torch.Tensor:
        phase = lonlat[..., None] * self.frequency
        encoded = np.stack((np.sin(phase), np.cos(phase)), -1).reshape(len(lonlat), -1).astype(np.float32)
        x = torch.from_numpy(encoded).to(self.output.weight.device)
        x = self.norms[0](self.dropout(self.activation(self.hidden_layers[0](x))))
        embedding: torch.Tensor = self.dropout(self.activation(self.output(x)))
        return embedding


def places(n: int, generator: np.random.Generator) -> np.ndarray:
    """Draw positions uniformly on the sphere, in degrees."""
    lon, z = generator.uniform(-180, 180, n), generator.uniform(-1, 1, n)
    return np.stack((lon, np.degrees(np.arcsin(z))), 1)


def pretraining_loss(
    encoder: Encoder,
    projection: nn.Module,
    lonlat: np.ndarray,
    features: torch.Tensor,
    negatives: np.ndarray,
    temperature: float,
) -> torch.Tensor:
    """Return Eq. 4 with weights 1, one temperature and C = 1; `cspops.losses.csp.mc_loss` after three passes."""
    loc, again, neg = (normalize(encoder(where)) for where in (lonlat, lonlat, negatives))
    image = normalize(projection(features))
    own = (loc * image).sum(1)
    total = -torch.stack((own, (neg * image).sum(1)), 1).div(temperature).log_softmax(1)[:, 0].mean()
    for other in (image, again):
        total = total - (loc @ other.T / temperature).log_softmax(1).diagonal().mean()
    return total


def finetuning_loss(
    encoder: Encoder, classes: nn.Module, lonlat: np.ndarray, label: torch.Tensor, negatives: np.ndarray, beta: float
) -> torch.Tensor:
    """Return Eq. 5; `cspops.losses.finetuning.presence_absence_in_blocks`."""
    scores, neg_scores = classes(encoder(lonlat)), classes(encoder(negatives))
    is_label = torch.zeros_like(scores).scatter_(1, label[:, None], 1)
    pos = (logsigmoid(scores) * is_label).sum() / len(label)
    neg = (logsigmoid(-scores) * (1 - is_label)).sum() + logsigmoid(-neg_scores).sum()
    total: torch.Tensor = -beta * pos - neg / (scores.numel() - len(label) + neg_scores.numel())
    return total


def best_of_a_row(
    image_logits: np.ndarray, lonlat: np.ndarray, encoder: Encoder, classes: nn.Module, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k best classes of P(y|I), P(y|x) and P(y|I) P(y|x), best first, in float64."""
    image = np.exp(image_logits - image_logits.max(), dtype=np.float64)
    location = classes(encoder(lonlat[None])).double().sigmoid()[0].cpu().numpy()
    tables = image / image.sum(), location / location.sum(), image * location / (image * location).sum()
    first, second, third = (np.argsort(-table)[:k] for table in tables)
    return first, second, third
