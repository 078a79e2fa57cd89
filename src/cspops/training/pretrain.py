"""Contrastive Spatial Pre-Training of a location encoder against frozen image features (paper, section 3.2)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import nn

from cspops.data.batches import Unlabelled, epoch_of_rows
from cspops.geo import uniform_on_sphere
from cspops.kernels import keep_freed_memory
from cspops.losses import csp, objectives
from cspops.models.heads import Projection, Standardise
from cspops.models.location_encoder import LocationEncoder
from cspops.models.networks import two_passes
from cspops.progress import Report, silent
from cspops.seeds import global_torch_stream
from cspops.shapes import Tensor
from cspops.training.loop import Curve, run_epochs
from cspops.training.resume import Resume

Loss = Literal["mc", "nce", "mse"]
Step = Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]


def pretrain(
    unlabelled: Unlabelled,
    encoder_config: Mapping[str, Any],
    *,
    loss: Loss,
    terms: str,
    loss_settings: Mapping[str, float],
    negative_locations: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: torch.device,
    resume: Resume | None = None,
    report: Report = silent,
) -> tuple[LocationEncoder, Curve]:
    """Train a location encoder e and the projection W; F* is locked and W is dropped afterwards.

    Args:
        unlabelled: positions and image features of the training rows.
        encoder_config: see `LocationEncoder`.
        loss: `mc`, `nce` or `mse`.
        terms: `B`, `BL`, `BD` or `BLD`; no meaning for `mse`.
        loss_settings: temperatures and weights, the keywords of `csp.mc_loss` or `csp.nce_loss`.
        negative_locations: C, drawn uniformly on the sphere and afresh at each step.
        epochs: passes over the rows; 0 returns the untrained encoder.
        batch_size: rows a step.
        learning_rate: of Adam, at the start; it decays to zero along half a cosine.
    """
    with global_torch_stream(seed, "location encoder"):
        encoder = LocationEncoder(encoder_config).to(device)
    if epochs == 0:
        return encoder.eval(), []
    keep_freed_memory()
    encoded = encoder.encoding(unlabelled.lonlat.to(device))
    features = unlabelled.image_features.to(device)
    head, step = (
        _regression(encoder, encoded, features, seed)
        if loss == "mse"
        else _contrast(encoder, encoded, features, seed, loss, terms, loss_settings, negative_locations)
    )
    modules = {"encoder": encoder, "head": head}
    parameters = [p for module in modules.values() for p in module.parameters()]
    curve = run_epochs(
        name=f"pretrain seed {seed}",
        modules=modules,
        optimizer=torch.optim.Adam(parameters, lr=learning_rate, fused=True),
        learning_rate=learning_rate,
        epochs=epochs,
        batches=lambda stream: epoch_of_rows(len(encoded), batch_size, generator=stream),
        batches_per_epoch=math.ceil(len(encoded) / batch_size),
        loss=step,
        seed=seed,
        device=device,
        resume=resume,
        report=report,
    )
    return encoder.eval(), curve


def _contrast(
    encoder: LocationEncoder,
    encoded: Tensor,
    features: Tensor,
    seed: int,
    loss: Loss,
    terms: str,
    settings: Mapping[str, float],
    negative_locations: int,
) -> tuple[nn.Module, Step]:
    """The projection W and the step of `mc` and `nce`."""
    with global_torch_stream(seed, "projection"):
        projection = Projection(features.shape[1], encoder.dim).to(features.device)
    standard = projection.standardise.fit(features)(features)
    c = negative_locations if "L" in terms else 0
    objective = {"mc": csp.mc_loss, "nce": csp.nce_loss}[loss]

    def step(rows: Tensor, draws: torch.Generator) -> Mapping[str, Tensor]:
        n = len(rows)
        again = n if "D" in terms else 0
        inputs = [encoded[rows]]
        if c:
            inputs.append(encoder.encoding(uniform_on_sphere(n * c, generator=draws)))
        loc_emb, *others = two_passes(encoder.network, torch.cat(inputs), repeated=again).split(
            [n, *([again] if again else []), *([n * c] if c else [])]
        )
        return objective(
            loc_emb,
            projection.linear(standard[rows]),
            neg_loc_emb=others[-1].view(n, c, -1) if c else None,
            loc_emb_2=others[0] if "D" in terms else None,
            terms=terms,
            **settings,
        )

    return projection, step


def _regression(encoder: LocationEncoder, encoded: Tensor, features: Tensor, seed: int) -> tuple[nn.Module, Step]:
    """A linear layer from e(x) to the standardised image features, and the step of `mse`."""
    with global_torch_stream(seed, "regression"):
        head = nn.Linear(encoder.dim, features.shape[1]).to(features.device)
    target = Standardise(features.shape[1]).to(features.device).fit(features)(features)

    def step(rows: Tensor, draws: torch.Generator) -> Mapping[str, Tensor]:
        return {"total": objectives.mse(head(encoder.network(encoded[rows])), target[rows])}

    return head, step
