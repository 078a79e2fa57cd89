"""Modes `linear_probe` and `probe_then_full`: softmax regression on the frozen embedding, and training from there on.

A probe loses nothing that pre-training knows, and has one strength of L2 to choose. Training from there on is kept only
where validation gains by it.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cspops.data.batches import Labelled
from cspops.kernels import keep_freed_memory
from cspops.models.heads import ClassEmbedding, LinearProbe
from cspops.models.location_encoder import ROWS_AT_ONCE, LocationClassifier, LocationEncoder
from cspops.params.location_classifiers import ProbeThenFull
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Int, Tensor
from cspops.training.kept_weights import KeptWeights
from cspops.training.linear_probe import ProbeChoice, linear_probe, validated
from cspops.training.loop import Curve, Run, cosine_decay, refuse_divergence

WARM_UP = 0.1
"""The share of the steps in which the learning rate rises; then it falls as half a cosine."""
MOST_SCORES = 2**22
"""Validation scores from which the scale of a model is found; of more rows evenly spaced ones are taken."""
LEAST_SCALE = 1e-3


@dataclass(frozen=True)
class Probed:
    """A location classifier that is a probe, or was trained from one on."""

    model: LocationClassifier
    """In eval mode; its link is the softmax, and its class embedding has a bias."""
    search: list[ProbeChoice]
    """The strengths of L2 that were tried."""
    val_nll: float
    """Of ``model`` on validation; nan without validation rows."""
    step: int = 0
    """After which ``model`` was kept: 0 is the probe."""
    curve: Curve = field(default_factory=list)
    """One row per check: `step`, `total` (the mean loss since the check before), `val_nll`."""

    @property
    def best(self) -> ProbeChoice:
        """The strength of the probe."""
        return self.search[0] if len(self.search) == 1 else min(self.search, key=lambda choice: choice.val_nll)


def location_probe(
    labelled: Labelled,
    encoder: LocationEncoder,
    l2: tuple[float, ...],
    *,
    max_iterations: int,
    val: Labelled | None,
    device: torch.device,
) -> Probed:
    """Fit a probe of the frozen embedding e(x); ``encoder`` becomes part of the model, with the weights that it has.

    If e takes dates, each row counts half with its date and half without, in fitting and in choosing, so that P(y|x) without
    a date is learned, too.

    Args:
        labelled: the few-shot subset.
        l2: strengths, see `linear_probe`; more than one need ``val``.
        val: validation rows, never test rows.
    """
    encoder = encoder.to(device).eval()
    chosen_on = val or Labelled(labelled.lonlat[:0], labelled.label[:0], labelled.classes)
    fitted_on = labelled
    if encoder.takes_time:
        fitted_on, chosen_on = labelled.with_and_without_dates(), chosen_on.with_and_without_dates()
    probe, search = linear_probe(
        _embeddings(encoder, encoder.prepare(fitted_on.lonlat.to(device), fitted_on.when)),
        fitted_on.label.to(device),
        _embeddings(encoder, encoder.prepare(chosen_on.lonlat.to(device), chosen_on.when)),
        chosen_on.label.to(device),
        classes=labelled.classes,
        l2=l2,
        max_iterations=max_iterations,
    )
    model = LocationClassifier(encoder, folded(probe), link="softmax").eval()
    return Probed(model, search, min(choice.val_nll for choice in search))


@torch.no_grad()
def folded(probe: LinearProbe) -> ClassEmbedding:
    """Return T and b of the scores e(x) T + b that a probe of e(x) has: its standardisation is in them."""
    standardise, linear = probe.standardise, probe.linear
    out = ClassEmbedding(linear.in_features, linear.out_features, bias=True).to(linear.weight.device)
    weight = linear.weight.double() / standardise.scale.double()
    out.linear.weight.copy_(weight)
    out.linear.bias.copy_(linear.bias.double() - weight @ standardise.mean.double())
    return out


def train_on(probed: Probed, labelled: Labelled, settings: ProbeThenFull, *, val: Labelled, run: Run) -> Probed:
    """Train e, T and b by cross-entropy from a probe on, and keep what is best on validation, the probe included.

    ``probed`` stays as it is, so that many settings may be tried from one probe.

    Args:
        labelled: the rows of the probe. Classes without one keep their probability of 0.
        settings: `batch_size`: all rows where there are fewer.
        val: the validation rows of the probe.
    """
    device, steps = run.device, settings.steps
    whole = copy.deepcopy(probed.model).to(device)
    encoder, label = whole.encoder, labelled.label.to(device)
    present = label.unique()
    y = torch.searchsorted(present, label)
    model = LocationClassifier(encoder, _among(whole.class_embedding, present), link="softmax")
    parameters = list(model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), fused=True)
    keep_freed_memory()
    prepared, judge = encoder.prepare(labelled.lonlat.to(device), labelled.when), _judge(model, val, present, device)
    kept = KeptWeights(model, decay=0)
    curve: Curve = []
    start_nll, sharpness = judge()
    kept.keep_start(model, start_nll)
    n, kept_step, checked = min(settings.batch_size, len(label)), 0, 0
    full_rates = [group["lr"] for group in optimizer.param_groups]
    total, order = torch.zeros((), device=device), torch.empty(0, dtype=torch.long, device=device)
    stream = torch_stream(run.seed, "finetune-loc", device=device)
    drops = settings.dropout == "kept"
    _set_to_train(model, drops=drops)
    with global_torch_stream(run.seed, "finetune-loc", "dropout"):
        for step in range(1, steps + 1):
            share = min(1.0, step / (WARM_UP * steps)) * cosine_decay(step - 1, steps)
            for group, rate in zip(optimizer.param_groups, full_rates, strict=True):
                group["lr"] = share * rate
            if len(order) < n:  # the rows that are left over are dropped, so that every batch has n
                order = torch.randperm(len(label), generator=stream, device=device)
            rows, order = order[:n], order[n:]
            loss = cross_entropy(model.class_embedding(encoder.embed(prepared[rows])), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.distance:
                pull(parameters, start, settings.distance)
            optimizer.step()
            total += loss.detach()
            if step % settings.check_every == 0 or step == steps:
                val_nll, of_step = judge()
                curve.append({"step": step, "total": float(total) / (step - checked), "val_nll": val_nll})
                refuse_divergence(f"fine-tuning, seed {run.seed}", curve)
                checked = step
                total.zero_()
                if val_nll < float(kept.least):
                    kept_step, sharpness = step, of_step
                kept.keep_best(model, val_nll)
                if kept.is_over(settings.patience):
                    break
                _set_to_train(model, drops=drops)
    model.load_state_dict(kept.best.state_dict())
    with torch.no_grad():
        for to, part in zip(whole.class_embedding.parameters(), model.class_embedding.parameters(), strict=True):
            to[present] = sharpness * part
    return replace(probed, model=whole.eval(), val_nll=float(kept.least), step=kept_step, curve=curve)


def _set_to_train(model: LocationClassifier, *, drops: bool) -> None:
    """Set dropout as asked; dates are dropped in any case, so that e(x) without one is trained, too."""
    model.train(drops)
    if model.encoder.drop_dates is not None:
        model.encoder.drop_dates.train()


@torch.no_grad()
def pull(parameters: Sequence[nn.Parameter], start: Sequence[Tensor], weight: float) -> None:
    """Add to the gradients that of weight / 2 |parameters - start|^2 (L2-SP, Li et al. 2018)."""
    for one, at in zip(parameters, start, strict=True):
        if one.grad is not None:
            one.grad.add_(one - at, alpha=weight)


def parameter_groups(model: LocationClassifier, settings: ProbeThenFull) -> list[dict[str, Any]]:
    """Return the parameter groups of an optimizer; vectors (biases, the scales of norms) have no weight decay."""
    shares = ((model.class_embedding, 1.0), (model.encoder, settings.encoder_rate))
    return [
        {
            "params": [parameter for parameter in module.parameters() if (parameter.ndim > 1) == is_matrix],
            "lr": share * settings.learning_rate,
            "weight_decay": settings.weight_decay if is_matrix else 0.0,
        }
        for module, share in shares
        for is_matrix in (True, False)
    ]


@torch.no_grad()
def _among(class_embedding: ClassEmbedding, present: Int[Tensor, "c"]) -> ClassEmbedding:
    """Return T and b of the classes ``present`` alone."""
    linear = class_embedding.linear
    out = ClassEmbedding(linear.in_features, len(present), bias=True).to(linear.weight.device)
    out.linear.weight.copy_(linear.weight[present])
    out.linear.bias.copy_(linear.bias[present])
    return out


def _embeddings(encoder: LocationEncoder, prepared: Float[Tensor, "n w"]) -> Float[Tensor, "n d"]:
    """Return e(x) without gradient, in blocks that bound the memory."""
    with torch.no_grad():
        return torch.cat([encoder.embed(part) for part in prepared.split(ROWS_AT_ONCE)])


def _judge(
    model: LocationClassifier, val: Labelled, present: Int[Tensor, "c"], device: torch.device
) -> Callable[[], tuple[float, float]]:
    """Return a function that judges a model of the classes ``present``, and leaves it in eval mode.

    It returns the validation NLL of softmax(s (e(x) T + b)) and the s > 0 for which it is least: few labels make a training
    that ranks classes better too sure of them, which one number mends (Guo et al. 2017; s is 1 over their temperature).
    If e takes dates, each row is judged with its date and without.
    """
    if model.encoder.takes_time:
        val = val.with_and_without_dates()
    prepared, label = model.encoder.prepare(val.lonlat.to(device), val.when), val.label.to(device)
    known = torch.isin(label, present).nonzero()[:, 0]
    known = known[:: max(1, -(-len(known) * len(present) // MOST_SCORES))]
    own = torch.searchsorted(present, label[known])

    @torch.no_grad()
    def judge() -> tuple[float, float]:
        model.eval()
        loc_emb = _embeddings(model.encoder, prepared)
        s = least_nll_scale(model.class_embedding(loc_emb[known]), own)
        return validated(lambda rows: s * model.class_embedding(loc_emb[rows]), label, present, val.classes)[0], s

    return judge


def least_nll_scale(scores: Float[Tensor, "n c"], own: Int[Tensor, "n"]) -> float:
    """Return the s > 0 of least mean NLL of softmax(s scores), to 1e-3; 1 where no row tells."""
    scores, s = scores.double(), 1.0
    for _ in range(30 if len(own) and scores.shape[1] > 1 else 0):
        p = (s * scores).softmax(1)
        mean = (p * scores).sum(1)
        slope = float((mean - scores.gather(1, own[:, None])[:, 0]).mean())
        curvature = float(((p * scores * scores).sum(1) - mean * mean).mean())
        step = -slope / max(curvature, 1e-12)
        step = min(max(step, -s / 2), s)  # the NLL is convex in s; far from the minimum its parabola is not to be trusted
        s += step
        if abs(step) < 1e-3 * s or not LEAST_SCALE < s < 1 / LEAST_SCALE:
            break
    return min(max(s, LEAST_SCALE), 1 / LEAST_SCALE)
