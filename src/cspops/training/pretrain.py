"""Contrastive Spatial Pre-Training of a location encoder against frozen image features (paper, section 3.2)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import nn

from cspops.data.batches import Unlabelled, epoch_of_rows
from cspops.data.negatives import Sampler
from cspops.kernels import keep_freed_memory
from cspops.losses import csp, objectives
from cspops.models.heads import Projection, Standardise
from cspops.models.location_encoder import LocationEncoder
from cspops.models.temperature import LearnedTemperatures
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Tensor
from cspops.training.loop import Curve, run_epochs
from cspops.training.resume import Resume

Loss = Literal["mc", "nce", "mse"]
Step = Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]
TAUS = {"B": "tau_batch", "L": "tau_locations", "D": "tau_dropout"}
"""The temperature of each term."""


def pretrain(
    unlabelled: Unlabelled,
    encoder_config: Mapping[str, Any],
    *,
    loss: Loss,
    terms: str,
    loss_settings: Mapping[str, Any],
    negatives: Sampler,
    negative_locations: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: torch.device,
    resume: Resume | None = None,
) -> tuple[LocationEncoder, Curve]:
    """Train a location encoder e and the projection W; F* is locked and W is dropped afterwards.

    Args:
        unlabelled: positions and image features of the training rows.
        encoder_config: see `LocationEncoder`.
        loss: `mc`, `nce` or `mse`.
        terms: `B`, `BL`, `BD` or `BLD`; no meaning for `mse`.
        loss_settings: temperatures and weights, the keywords of `csp.mc_loss` or `csp.nce_loss`. With
            `learn_temperature` the temperatures of the terms in force start there and are learned; the curve has them.
        negatives: the law that negative locations are drawn from, afresh at each step.
        negative_locations: C, how many for each image.
        epochs: passes over the rows; 0 returns the untrained encoder.
        batch_size: rows a step.
        learning_rate: of Adam, at the start; it decays to zero along half a cosine.
    """
    with global_torch_stream(seed, "location encoder"):
        encoder = LocationEncoder(encoder_config)
    encoder.fit(unlabelled.lonlat, torch_stream(seed, "location encoder", "fit"))
    encoder.to(device)
    if epochs == 0:
        return encoder.eval(), []
    keep_freed_memory()
    prepared = encoder.prepare(unlabelled.lonlat.to(device))
    features = unlabelled.image_features.to(device)
    if loss == "mse":
        head, step = _regression(encoder, prepared, features, seed)
        after_step = _nothing
    else:
        head, step, after_step = _contrast(
            encoder, prepared, features, seed, loss, terms, loss_settings, negatives, negative_locations
        )
    modules = {"encoder": encoder, "head": head}
    parameters = [p for module in modules.values() for p in module.parameters()]
    curve = run_epochs(
        name=f"pretrain seed {seed}",
        modules=modules,
        optimizer=torch.optim.Adam(parameters, lr=learning_rate, fused=True),
        learning_rate=learning_rate,
        epochs=epochs,
        batches=lambda stream: epoch_of_rows(len(prepared), batch_size, generator=stream),
        batches_per_epoch=math.ceil(len(prepared) / batch_size),
        loss=step,
        after_step=after_step,
        seed=seed,
        device=device,
        resume=resume,
    )
    return encoder.eval(), curve


def _contrast(
    encoder: LocationEncoder,
    prepared: Tensor,
    features: Tensor,
    seed: int,
    loss: Loss,
    terms: str,
    settings: Mapping[str, Any],
    negatives: Sampler,
    negative_locations: int,
) -> tuple[nn.Module, Step, Callable[[], None]]:
    """The projection W with the learned temperatures, the step of `mc` and `nce`, and what follows it."""
    with global_torch_stream(seed, "projection"):
        projection = Projection(features.shape[1], encoder.dim)
    head = nn.ModuleDict({"projection": projection}).to(features.device)
    standard = projection.standardise.fit(features)(features)
    fixed = dict(settings)
    temperatures = None
    if fixed.pop("learn_temperature", False):
        start = {TAUS[term]: fixed.pop(TAUS[term]) for term in terms}
        temperatures = head["temperatures"] = LearnedTemperatures(start).to(features.device)
    c = negative_locations if "L" in terms else 0
    objective = {"mc": csp.mc_loss, "nce": csp.nce_loss}[loss]

    def step(rows: Tensor, draws: torch.Generator) -> Mapping[str, Tensor]:
        n = len(rows)
        again = n if "D" in terms else 0
        inputs = [prepared[rows]]
        if c:
            inputs.append(encoder.prepare(negatives(n * c, generator=draws)))
        loc_emb, *others = encoder.embed(torch.cat(inputs), repeated=again).split(
            [n, *([again] if again else []), *([n * c] if c else [])]
        )
        learned = temperatures() if temperatures is not None else {}
        parts = objective(
            loc_emb,
            projection.linear(standard[rows]),
            neg_loc_emb=others[-1].view(n, c, -1) if c else None,
            loc_emb_2=others[0] if "D" in terms else None,
            terms=terms,
            **fixed,
            **learned,
        )
        return parts | learned

    return head, step, temperatures.clamp if temperatures is not None else _nothing


def _nothing() -> None:
    """What follows a step that needs nothing."""


def _regression(encoder: LocationEncoder, prepared: Tensor, features: Tensor, seed: int) -> tuple[nn.Module, Step]:
    """A linear layer from e(x) to the standardised image features, and the step of `mse`."""
    with global_torch_stream(seed, "regression"):
        head = nn.Linear(encoder.dim, features.shape[1]).to(features.device)
    target = Standardise(features.shape[1]).to(features.device).fit(features)(features)

    def step(rows: Tensor, draws: torch.Generator) -> Mapping[str, Tensor]:
        return {"total": objectives.mse(head(encoder.embed(prepared[rows])), target[rows])}

    return head, step


def curve_columns(terms: str, *, learned: bool) -> tuple[str, ...]:
    """The columns of the curve: the epoch, each term in force, the total, and the temperatures where they are learned."""
    return ("epoch", *terms, "total", *((TAUS[term] for term in terms) if learned else ()))
