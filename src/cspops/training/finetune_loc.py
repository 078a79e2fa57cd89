"""Supervised fine-tuning of a location encoder and class embeddings T on few labels (paper, section 3.3)."""

import torch
from torch import nn

from cspops.data.batches import Labelled
from cspops.geo import uniform_on_sphere
from cspops.kernels import keep_freed_memory
from cspops.losses.presence_absence import presence_absence_in_blocks
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationEncoder
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, LonLat, Tensor
from cspops.training.loop import Curve, cosine_decay

CURVE_ROWS = 20


class LocationClassifier(nn.Module):
    """e and T together: positions to a score for each class."""

    def __init__(self, encoder: LocationEncoder, class_embedding: ClassEmbedding) -> None:
        super().__init__()
        self.encoder = encoder
        self.class_embedding = class_embedding
        self.config = {"encoder": encoder.config, "classes": class_embedding.linear.out_features}

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch q"]:
        scores: Tensor = self.class_embedding(self.encoder(lonlat))
        return scores


def finetune_loc(
    labelled: Labelled,
    encoder: LocationEncoder,
    *,
    classes: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    encoder_rate: float = 1.0,
    beta: float,
    seed: int,
    device: torch.device,
) -> tuple[LocationClassifier, Curve]:
    """Train ``encoder`` (in place) and fresh class embeddings with the presence-absence loss, Eq. 5.

    Args:
        labelled: the few-shot subset; as many uniform random locations join it at each step.
        steps: of Adam; the rate decays from ``learning_rate`` to zero along half a cosine.
        batch_size: rows a step, or all rows where there are fewer.
        learning_rate: of the class embeddings.
        encoder_rate: the encoder's learning rate as a share of that; below 1 it keeps more of its pre-training.
        beta: weight of the positives.

    Returns:
        the classifier in eval mode, and the loss averaged over each twentieth of the steps.
    """
    with global_torch_stream(seed, "class embedding"):
        model = LocationClassifier(encoder, ClassEmbedding(encoder.dim, classes)).to(device).train()
    groups = [
        {"params": list(model.class_embedding.parameters()), "share": 1.0},
        {"params": list(model.encoder.parameters()), "share": encoder_rate},
    ]
    optimizer = torch.optim.Adam(groups, lr=learning_rate, fused=True)
    encoded = encoder.encoding(labelled.lonlat.to(device))
    label = labelled.label.to(device)
    keep_freed_memory()
    n = min(batch_size, len(label))
    stream = torch_stream(seed, "finetune-loc", device=device)
    curve: Curve = []
    every = max(1, steps // CURVE_ROWS)
    total, order = torch.zeros((), device=device), torch.empty(0, dtype=torch.long, device=device)
    with global_torch_stream(seed, "finetune-loc", "dropout"):
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * learning_rate * cosine_decay(step, steps)
            if len(order) < n:
                order = torch.randperm(len(label), generator=stream, device=device)
            rows, order = order[:n], order[n:]
            negatives = encoder.encoding(uniform_on_sphere(n, generator=stream))
            loc_emb, neg_loc_emb = encoder.network(torch.cat((encoded[rows], negatives))).split(n)
            loss = presence_absence_in_blocks(loc_emb, neg_loc_emb, model.class_embedding.linear.weight, label[rows], beta=beta)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            if (step + 1) % every == 0:
                curve.append({"step": step + 1, "total": float(total) / every})
                total.zero_()
    return model.eval(), curve
