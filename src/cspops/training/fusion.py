"""Train a `FusionHead` on frozen image features and the fine-tuned e(x), from two linear models on."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cspops.kernels import Linear, keep_freed_memory
from cspops.models.fusion_head import FusionHead
from cspops.models.heads import LinearProbe
from cspops.models.location_encoder import LocationClassifier
from cspops.params.location_classifiers import Fusion
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Int, Tensor
from cspops.training.kept_weights import KeptWeights
from cspops.training.linear_probe import ITERATIONS, linear_probe, validated
from cspops.training.location_probe import MOST_SCORES, WARM_UP, least_nll_scale
from cspops.training.loop import Curve, Run, cosine_decay, refuse_divergence

PROBE_L2 = (1.0, 0.1, 0.01, 0.001)
"""Strengths of L2 of the image probe that training begins with."""
BATCH_SIZE = 256
CHECK_EVERY = 25
"""Steps between checks on validation."""
STARTS = {"image": (1.0, 0.0), "location": (0.0, 1.0), "product": (1.0, 1.0)}
"""Shares of the scores of the image probe and of the location classifier."""
NO_DOMAIN = -1
"""Of a place in no country; it is left out of the domain loss."""


@dataclass(frozen=True)
class Pairs:
    """Rows that have an image, a position and a class."""

    image_features: Float[Tensor, "n k"]
    loc_emb: Float[Tensor, "n d"]
    label: Int[Tensor, "n"]
    classes: int

    def to(self, device: torch.device) -> "Pairs":
        return Pairs(self.image_features.to(device), self.loc_emb.to(device), self.label.to(device), self.classes)


@dataclass(frozen=True)
class Domains:
    """Which of ``count`` domains each row is of, such as continents; `NO_DOMAIN` where it is of none."""

    number: Int[Tensor, "n"]
    count: int


@dataclass(frozen=True)
class TrainedFusion:
    """A head of all classes, in eval mode, and how it was made."""

    head: FusionHead
    start: str
    """What training began with, of `STARTS` the best on validation."""
    start_nll: float
    val_nll: float
    step: int
    """After which the head was kept: 0 is the start."""
    curve: Curve
    """One row per check: `step`, `total` (the mean loss since the check before), `val_nll`."""


def train_fusion(
    few: Pairs,
    location: LocationClassifier,
    settings: Fusion,
    *,
    val: Pairs,
    domains: Domains | None,
    run: Run,
) -> TrainedFusion:
    """Train by cross-entropy from the image, the place or their product on; keep what is best on validation.

    The linear part begins as [probe of F*(I), 0], [0, T] or both, whichever has the least validation NLL, and the hidden
    layer at zero, so that what is kept is no worse there than any of them. (With T of a softmax both together are the product
    P(y|I) P(y|x) itself.)

    Args:
        few: the labelled rows. Classes without one keep their probability of 0.
        location: the classifier that e(x) is from.
        settings: `head` is one of `FusionHead`.
        val: validation rows, never test rows; at least one.
        domains: of the rows of ``few``, for the `domain_loss`; None: without it.
    """
    assert settings.head != "none"
    device, few, val = run.device, few.to(run.device), val.to(run.device)
    present = few.label.unique()
    y = torch.searchsorted(present, few.label)
    x, x_val = few.image_features, val.image_features
    probe, _ = linear_probe(x, few.label, x_val, val.label, classes=few.classes, l2=PROBE_L2, max_iterations=ITERATIONS)
    with global_torch_stream(run.seed, "fusion", "weights"):
        widths = few.image_features.shape[1], few.loc_emb.shape[1]
        head = FusionHead(settings.head, *widths, len(present), hidden=settings.hidden, dropout=settings.dropout).to(device)
        predictor = None if domains is None else Linear(settings.hidden, domains.count).to(device)
    head.standardise_place.fit(few.loc_emb)
    judge = _judge(head, val, present)
    start, start_nll, sharpness = _begin(head, probe, location, present, judge)
    kept = KeptWeights(head, decay=0)
    kept.keep_start(head, start_nll)
    keep_freed_memory()
    optimizer = torch.optim.AdamW(_groups([head, *([] if predictor is None else [predictor])], settings), fused=True)
    full_rate, n, kept_step, checked = settings.learning_rate, min(BATCH_SIZE, len(y)), 0, 0
    total, curve = torch.zeros((), device=device), Curve()
    batches = _batches(len(y), n, torch_stream(run.seed, "fusion", device=device))
    number = None if domains is None else domains.number.to(device)
    head.train()
    with global_torch_stream(run.seed, "fusion", "dropout"):
        for step in range(1, settings.steps + 1):
            share = min(1.0, step / (WARM_UP * settings.steps)) * cosine_decay(step - 1, settings.steps)
            for group in optimizer.param_groups:
                group["lr"] = share * full_rate
            rows = next(batches)
            z = head.see(few.loc_emb[rows])
            loss = cross_entropy(head.scores(few.image_features[rows], few.loc_emb[rows], z), y[rows])
            if predictor is not None and number is not None:
                loss = loss + settings.domain_weight * domain_loss(predictor(z), number[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            if step % CHECK_EVERY == 0 or step == settings.steps:
                val_nll, of_step = judge()
                curve.append({"step": step, "total": float(total) / (step - checked), "val_nll": val_nll})
                refuse_divergence(f"fusion, seed {run.seed}", curve)
                checked = step
                total.zero_()
                if val_nll < float(kept.least):
                    kept_step, sharpness = step, of_step
                kept.keep_best(head, val_nll)
                if kept.is_over(settings.patience):
                    break
                head.train()
    head.load_state_dict(kept.best.state_dict())
    whole = head.among(present.cpu(), few.classes, sharpness=sharpness)
    return TrainedFusion(whole, start, start_nll, float(kept.least), kept_step, curve)


def domain_loss(scores: Float[Tensor, "n c"], domain: Int[Tensor, "n"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the domains that a linear layer predicts from what the head sees of the place.

    Added to the loss as L = CE(y) + w CE(d), it makes z tell domains (continents, countries) apart, between which images of a
    class differ: Crasto, Robustness to Geographic Distribution Shift Using Location Encoders (CVPR Findings 2026), w = 0.2, the
    "domain predictor weight" of the released code. There the linear layer is on e(x), or on what FiLM is given; here e(x) is
    frozen, and z is what both heads are given. Nothing is reversed: the image is read as of its place, not made independent of
    it.

    Rows of `NO_DOMAIN` do not count; 0 where all are.
    """
    known = domain != NO_DOMAIN
    if not known.any():
        return scores.sum() * 0
    return cross_entropy(scores[known], domain[known])


def _begin(
    head: FusionHead, probe: LinearProbe, location: LocationClassifier, present: Int[Tensor, "c"], judge: "Judge"
) -> tuple[str, float, float]:
    """Set the linear part to the best of `STARTS` on validation; return its name, validation NLL and sharpness."""
    k, place = head.standardise_image.mean.shape[0], location.class_embedding.linear
    found, states = {}, {}
    with torch.no_grad():
        head.standardise_image.load_state_dict(probe.standardise.state_dict())
        at, device = head.standardise_place, probe.linear.weight.device
        of_image, of_place = probe.linear.weight[present], place.weight.to(device)[present]
        image_bias, place_bias = probe.linear.bias[present], of_place @ at.mean
        if place.bias is not None:
            place_bias = place_bias + place.bias.to(device)[present]
        for name, (image_share, place_share) in STARTS.items():
            head.linear.weight[:, :k] = image_share * of_image
            head.linear.weight[:, k:] = place_share * of_place * at.scale
            head.linear.bias.copy_(image_share * image_bias + place_share * place_bias)
            found[name] = judge()
            states[name] = copy.deepcopy(head.linear.state_dict())
    best = min(found, key=lambda name: found[name][0])
    head.linear.load_state_dict(states[best])
    return best, *found[best]


Judge = Callable[[], tuple[float, float]]
"""To validation NLL and the scale of the scores for which it is least."""


def _judge(head: FusionHead, val: Pairs, present: Int[Tensor, "c"]) -> Judge:
    """Return a function that judges the head as `location_probe` judges its models, and leaves it in eval mode."""
    some = torch.isin(val.label, present).nonzero()[:, 0]
    some = some[:: max(1, -(-len(some) * len(present) // MOST_SCORES))]
    own = torch.searchsorted(present, val.label[some])

    @torch.no_grad()
    def judge() -> tuple[float, float]:
        head.eval()
        s = least_nll_scale(head(val.image_features[some], val.loc_emb[some]), own)
        scores = lambda rows: s * head(val.image_features[rows], val.loc_emb[rows])  # noqa: E731
        return validated(scores, val.label, present, val.classes)[0], s

    return judge


def _batches(rows: int, n: int, stream: torch.Generator) -> Iterator[Int[Tensor, "n"]]:
    """Yield the row numbers of batches of ``n`` without end; the rows that an epoch leaves over are dropped."""
    while True:
        order = torch.randperm(rows, generator=stream, device=stream.device)
        yield from order[: rows - rows % n].split(n)


def _groups(modules: list[nn.Module], settings: Fusion) -> list[dict[str, object]]:
    """Return the parameter groups of the optimizer; vectors have no weight decay."""
    parameters = list(chain.from_iterable(module.parameters() for module in modules))
    return [
        {
            "params": [one for one in parameters if (one.ndim > 1) == is_matrix],
            "lr": settings.learning_rate,
            "weight_decay": settings.weight_decay if is_matrix else 0.0,
        }
        for is_matrix in (True, False)
    ]
