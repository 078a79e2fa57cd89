"""Contrastive Spatial Pre-Training of a location encoder against frozen image features (paper, section 3.2)."""

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from cspops.data.batches import Unlabelled
from cspops.data.negatives import Sampler, place_and_date
from cspops.data.sharded_rows import Computed, Rows, ShardedRows
from cspops.kernels import keep_freed_memory
from cspops.losses import csp, objectives
from cspops.losses.objectives import WHOLE, Share
from cspops.models.checkpoint import Config
from cspops.models.heads import LearnedTemperatures, Projection, Standardise
from cspops.models.location_encoder import LocationEncoder
from cspops.models.networks import own_masks
from cspops.params.sections import LossSettings, McLoss, MseLoss, NceLoss, NoLoss, Pretrain, TrainedLoss
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Tensor
from cspops.training.loop import Curve, Run, Schedule, Training, run_epochs

Step = Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]
Contrast = Callable[..., Mapping[str, Tensor]]
"""From e(x), f(I), and by name e(x-), e'(x) and learned temperatures to the parts of a loss; see `csp.mc_loss`."""
TAUS = {"B": "tau_batch", "L": "tau_locations", "D": "tau_dropout"}
"""The temperature of each term."""


def pretrain(
    unlabelled: Unlabelled,
    start: Config | LocationEncoder,
    settings: TrainedLoss,
    *,
    schedule: Pretrain,
    negatives: Sampler,
    run: Run,
) -> tuple[LocationEncoder, Curve]:
    """Train a location encoder e and the projection W; F* is locked and W is dropped afterwards.

    Args:
        unlabelled: positions, image features and, where e takes dates, dates of the training rows.
        start: the config of an encoder with random weights, see `LocationEncoder`; or an encoder, which stays as it is.
        settings: a section of `losses` in params.yaml. It decides what is minimised: Eq. 4, Eq. 3, the error of a
            regression, or nothing, so that the encoder is returned untrained. With `learn_temperature` the temperatures of
            the terms in force start there and are learned; the curve has them.
        schedule: epochs, rows per step and negative locations per image. The learning rate is the loss's own.
        negatives: the law that negative locations, and their dates, are drawn from, afresh at each step.
    """
    if isinstance(start, LocationEncoder):
        encoder = copy.deepcopy(start)
    else:
        with global_torch_stream(run.seed, "location encoder"):
            encoder = LocationEncoder(start)
        encoder.fit(unlabelled.lonlat, torch_stream(run.seed, "location encoder", "fit"))
    encoder.to(run.device)
    if isinstance(settings, NoLoss):
        return encoder.eval(), []
    keep_freed_memory()
    features = unlabelled.image_features.to(run.device)
    prepared = _prepared(encoder, unlabelled, run.device, at_once=not isinstance(features, ShardedRows))
    after_step = _nothing
    if isinstance(settings, MseLoss):
        head, step = _regression(encoder, prepared, features, run)
    else:
        c = schedule.negative_locations if "L" in settings.terms else 0
        head, step, after_step = _contrast(encoder, prepared, features, settings, c, negatives, run)
    modules = {"encoder": encoder, "head": head}
    parameters = [p for module in modules.values() for p in module.parameters()]
    curve = run_epochs(
        Training(
            f"pretrain seed {run.seed}",
            modules,
            optimizer=torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True),
            loss=step,
            after_step=after_step,
        ),
        Schedule(
            len(unlabelled.lonlat),
            schedule.epochs,
            schedule.batch_size,
            settings.learning_rate,
            order=features.order if isinstance(features, ShardedRows) else None,
        ),
        run,
    )
    return encoder.eval(), curve


def _prepared(encoder: LocationEncoder, unlabelled: Unlabelled, device: torch.device, *, at_once: bool) -> Rows:
    """Return what gives the prepared rows, which are computed now, or else as they are asked for."""
    points = unlabelled.lonlat.to(device)
    if encoder.takes_time and unlabelled.when is not None:
        points = torch.cat((points.double(), unlabelled.when.double()[:, None].to(device)), 1)
    if at_once:
        return encoder.prepare(*place_and_date(points))
    return Computed(points, lambda rows: encoder.prepare(*place_and_date(rows)))


def _contrast(
    encoder: LocationEncoder,
    prepared: Rows,
    features: Tensor | ShardedRows,
    settings: McLoss | NceLoss,
    c: int,
    negatives: Sampler,
    run: Run,
) -> tuple[nn.Module, Step, Callable[[], None]]:
    """Return the projection W with the learned temperatures, the step of `mc` and `nce`, and what follows each step."""
    processes = run.processes
    with global_torch_stream(run.seed, "projection"):
        projection = Projection(features.shape[1], encoder.dim)
    head = nn.ModuleDict({"projection": projection}).to(features.device)
    standard = _standardised(features, projection.standardise)
    temperatures = _temperatures(settings)
    if temperatures is not None:
        head["temperatures"] = temperatures.to(features.device)
    contrast = _loss(settings)

    def step(rows: Tensor, draws: torch.Generator) -> Mapping[str, Tensor]:
        mine, anywhere = processes.share(len(rows)), negatives(len(rows) * c, generator=draws) if c else None
        own = rows[mine]
        n, again = len(own), len(own) if "D" in settings.terms else 0
        # one pass for all: positions, their second dropout pass and the negatives share the product of the first layer
        inputs = [prepared[own]]
        if anywhere is not None:
            inputs.append(encoder.prepare(*place_and_date(anywhere[mine.start * c : mine.stop * c])))
        with own_masks(processes, len(rows), (*([1] if again else []), 1, *([c] if c else []))):
            loc_emb, *others = encoder.embed(torch.cat(inputs), repeated=again).split(
                [n, *([again] if again else []), *([n * c] if c else [])]
            )
        image_emb = projection.linear(standard[own])
        learned = temperatures() if temperatures is not None else {}
        neg_loc_emb, loc_emb_2 = others[-1].view(n, c, -1) if c else None, others[0] if again else None
        share = Share(mine.start, processes.others(len(rows))) if processes.shares(len(rows)) else WHOLE
        parts = contrast(loc_emb, image_emb, neg_loc_emb=neg_loc_emb, loc_emb_2=loc_emb_2, share=share, **learned)
        return {**processes.weighted(dict(parts), len(rows)), **learned}

    return head, step, temperatures.clamp if temperatures is not None else _nothing


def _temperatures(settings: McLoss | NceLoss) -> LearnedTemperatures | None:
    """Return the temperatures of the terms in force, where they are learned."""
    if isinstance(settings, NceLoss) or not settings.learn_temperature:
        return None
    taus = {"B": settings.tau_batch, "L": settings.tau_locations, "D": settings.tau_dropout}
    return LearnedTemperatures({TAUS[term]: taus[term] for term in settings.terms})


def _loss(settings: McLoss | NceLoss) -> Contrast:
    """Return Eq. 4 or Eq. 3 with its settings; temperatures given by name in a call take the place of these."""
    if isinstance(settings, NceLoss):
        return partial(
            csp.nce_loss,
            terms=settings.terms,
            weight_locations=settings.weight_locations,
            weight_dropout=settings.weight_dropout,
        )
    return partial(
        csp.mc_loss,
        terms=settings.terms,
        symmetric=settings.symmetric,
        tau_batch=settings.tau_batch,
        tau_locations=settings.tau_locations,
        tau_dropout=settings.tau_dropout,
        weight_locations=settings.weight_locations,
        weight_dropout=settings.weight_dropout,
    )


def _standardised(features: Tensor | ShardedRows, standardise: Standardise) -> Rows:
    """Fit the statistics of features, and return what gives their rows, standardised."""
    if isinstance(features, Tensor):
        standard: Tensor = standardise.fit(features)(features)
        return standard
    return Computed(features, standardise.take(*features.mean_and_sd))


def _nothing() -> None:
    """Do nothing after a step."""


def _regression(encoder: LocationEncoder, prepared: Rows, features: Tensor | ShardedRows, run: Run) -> tuple[nn.Module, Step]:
    """Return a linear layer from e(x) to the standardised image features, and the step of `mse`."""
    processes = run.processes
    with global_torch_stream(run.seed, "regression"):
        head = nn.Linear(encoder.dim, features.shape[1]).to(features.device)
    target = _standardised(features, Standardise(features.shape[1]).to(features.device))

    def step(rows: Tensor, draws: torch.Generator) -> Mapping[str, Tensor]:
        own = rows[processes.share(len(rows))]
        with own_masks(processes, len(rows)):
            predicted = head(encoder.embed(prepared[own]))
        return processes.weighted({"total": objectives.mse(predicted, target[own])}, len(rows))

    return head, step


def curve_columns(settings: LossSettings) -> tuple[str, ...]:
    """Return the columns of the curve: the epoch, each term in force, the total, and the temperatures where learned."""
    terms = settings.terms if isinstance(settings, McLoss | NceLoss) else ""
    learned = isinstance(settings, McLoss) and settings.learn_temperature
    return ("epoch", *terms, "total", *((TAUS[term] for term in terms) if learned else ()))
