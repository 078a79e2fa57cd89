"""Supervised fine-tuning of a location encoder and class embeddings T on few labels (paper, section 3.3)."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from cspops.data.batches import Labelled
from cspops.data.negatives import Sampler
from cspops.evaluation.combine import location_log_p, row_blocks
from cspops.kernels import keep_freed_memory
from cspops.losses.finetuning import focal, presence_absence_in_blocks, presence_absence_released, softmax_cross_entropy
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import Link, LocationClassifier, LocationEncoder
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Int, Tensor
from cspops.training.loop import Curve, cosine_decay, exponential_decay, refuse_divergence

CURVE_ROWS = 20

LINKS: dict[str, Link] = {
    "presence_absence": "sigmoid",
    "presence_absence_released": "sigmoid",
    "cross_entropy": "softmax",
    "focal": "softmax",
}
"""The link that belongs to each loss."""


@dataclass(frozen=True)
class EarlyStopping:
    """Validation rows that say when to stop and which weights to keep. Never test rows."""

    val: Labelled
    patience: int
    """Checks without a smaller negative log-likelihood of P(y|x) before the end."""
    every: int
    """Steps between two checks."""


def finetune_loc(
    labelled: Labelled,
    encoder: LocationEncoder,
    *,
    classes: int,
    loss: str,
    loss_settings: Mapping[str, Any],
    negatives: Sampler,
    steps: int,
    batch_size: int,
    learning_rate: float,
    encoder_rate: float = 1.0,
    schedule: Literal["cosine", "exponential"] = "cosine",
    last_rate: float = 0.0,
    early_stopping: EarlyStopping | None = None,
    seed: int,
    device: torch.device,
) -> tuple[LocationClassifier, Curve]:
    """Train ``encoder`` (in place) and fresh class embeddings.

    Args:
        labelled: the few-shot subset.
        loss: `presence_absence` (Eq. 5) or `presence_absence_released`, which as many random locations join at each
            step as there are rows; `cross_entropy` or `focal`, which have no random locations.
        loss_settings: keywords of that loss.
        negatives: the law that random locations are drawn from.
        steps: of Adam.
        batch_size: rows a step, or all rows where there are fewer.
        learning_rate: of the class embeddings, at the first step.
        encoder_rate: the encoder's learning rate as a share of that; below 1 it keeps more of its pre-training.
        schedule: half a cosine, or exponential.
        last_rate: the learning rate at the end as a share of that at the start.
        early_stopping: the weights of the check with the least validation NLL are kept.

    Returns:
        the classifier in eval mode, and the loss averaged over each twentieth of the steps that were made.
    """
    with global_torch_stream(seed, "class embedding"):
        class_embedding = ClassEmbedding(encoder.dim, classes)
    model = LocationClassifier(encoder, class_embedding, link=LINKS[loss]).to(device).train()
    groups = [
        {"params": list(model.class_embedding.parameters()), "share": 1.0},
        {"params": list(model.encoder.parameters()), "share": encoder_rate},
    ]
    optimizer = torch.optim.Adam(groups, lr=learning_rate, fused=True)
    keep_freed_memory()
    decay = {"cosine": cosine_decay, "exponential": exponential_decay}[schedule]
    prepared, label = encoder.prepare(labelled.lonlat.to(device)), labelled.label.to(device)
    n = min(batch_size, len(label))
    stream = torch_stream(seed, "finetune-loc", device=device)
    objective = _objective(model, loss, loss_settings, negatives)
    best = _Best(model, early_stopping, device) if early_stopping else None
    curve: Curve = []
    every = max(1, steps // CURVE_ROWS)
    total, order = torch.zeros((), device=device), torch.empty(0, dtype=torch.long, device=device)
    with global_torch_stream(seed, "finetune-loc", "dropout"):
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * learning_rate * decay(step, steps, last=last_rate)
            if len(order) < n:
                order = torch.randperm(len(label), generator=stream, device=device)
            rows, order = order[:n], order[n:]
            value = objective(prepared[rows], label[rows], stream)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            total += value.detach()
            if (step + 1) % every == 0:
                curve.append({"step": step + 1, "total": float(total) / every})
                refuse_divergence(f"fine-tuning, seed {seed}", curve)
                total.zero_()
            if best and (step + 1) % best.every == 0 and best.is_over():
                if not curve:
                    curve.append({"step": step + 1, "total": float(total) / (step + 1)})
                break
    if best:
        best.restore()
    return model.eval(), curve


def _objective(
    model: LocationClassifier, loss: str, settings: Mapping[str, Any], negatives: Sampler
) -> Callable[[Tensor, Int[Tensor, "n"], torch.Generator], Tensor]:
    """The loss of one batch, given its prepared positions and labels."""
    encoder, class_embedding = model.encoder, model.class_embedding
    if LINKS[loss] == "softmax":
        of_classes: Callable[..., Tensor] = softmax_cross_entropy if loss == "cross_entropy" else focal
        return lambda inputs, label, _: of_classes(class_embedding(encoder.embed(inputs)), label, **settings)

    def with_random_locations(inputs: Tensor, label: Int[Tensor, "n"], stream: torch.Generator) -> Tensor:
        n = len(label)
        random = encoder.prepare(negatives(n, generator=stream))
        loc_emb, neg_loc_emb = encoder.embed(torch.cat((inputs, random))).split(n)
        if loss == "presence_absence":
            return presence_absence_in_blocks(loc_emb, neg_loc_emb, class_embedding.linear.weight, label, **settings)
        return presence_absence_released(class_embedding(loc_emb), label, class_embedding(neg_loc_emb), **settings)

    return with_random_locations


class _Best:
    """The weights of the least validation NLL so far."""

    def __init__(self, model: LocationClassifier, rule: EarlyStopping, device: torch.device) -> None:
        self.model, self.patience, self.every = model, rule.patience, rule.every
        self.prepared = model.encoder.prepare(rule.val.lonlat.to(device))
        self.label = rule.val.label.to(device)
        classes = model.class_embedding.linear.out_features
        self.blocks = row_blocks(torch.arange(len(self.label), device=device), classes)
        self.least, self.in_vain = float("inf"), 0
        self.weights = copy.deepcopy(model.state_dict())

    @torch.no_grad()
    def is_over(self) -> bool:
        """Judge the model as it is; whether it has got no better ``patience`` times in a row."""
        self.model.eval()
        own = torch.cat([self._log_p(rows) for rows in self.blocks])
        self.model.train()
        nll = float(-own.mean())
        if nll < self.least:
            self.least, self.in_vain = nll, 0
            self.weights = copy.deepcopy(self.model.state_dict())
        else:
            self.in_vain += 1
        return self.in_vain >= self.patience

    def _log_p(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        """log P(y|x) of the true class of some rows."""
        label = self.label[rows]
        scores = self.model.class_embedding(self.model.encoder.embed(self.prepared[rows]))
        log_p = location_log_p(scores, torch.ones_like(label, dtype=torch.bool), link=self.model.link)
        return log_p.gather(1, label[:, None])[:, 0]

    def restore(self) -> None:
        """Give the model the best weights seen."""
        self.is_over()
        self.model.load_state_dict(self.weights)
