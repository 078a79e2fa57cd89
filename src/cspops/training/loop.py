"""What every training loop shares: epochs that resume, a learning rate that decays, a curve that is written down."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from cspops.errors import CspopsError
from cspops.progress import Report
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Tensor
from cspops.training.resume import Resume, restore_training_state, training_state

Curve = list[dict[str, float]]
"""One row an epoch (or interval): its number and the mean of every loss term in force."""


def cosine_decay(step: int, steps: int, *, last: float = 0.0) -> float:
    """Half a cosine from 1 at step 0 to ``last`` at step ``steps``."""
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps))


def exponential_decay(step: int, steps: int, *, last: float) -> float:
    """A constant factor a step, from 1 at step 0 to ``last`` (above 0) at step ``steps``."""
    return float(last ** (step / steps))


def refuse_divergence(name: str, curve: Curve) -> None:
    """CspopsError when the last row of the curve is not finite: what would come after it is worth nothing."""
    if not math.isfinite(curve[-1]["total"]):
        number, where = next(iter(curve[-1].items()))
        raise CspopsError(
            f"{name}: the loss is {curve[-1]['total']} at {number} {where:g}: training has diverged",
            hint="a smaller learning rate, or a larger temperature, in params.yaml",
        )


def run_epochs(
    *,
    name: str,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    learning_rate: float,
    epochs: int,
    batches: Callable[[torch.Generator], Iterable[Tensor]],
    batches_per_epoch: int,
    loss: Callable[[Tensor, torch.Generator], Mapping[str, Tensor]],
    after_step: Callable[[], None] = lambda: None,
    seed: int,
    device: torch.device,
    resume: Resume | None,
    report: Report,
) -> Curve:
    """Train for ``epochs`` epochs with a cosine learning rate; continue from the last whole epoch of ``resume``.

    Every epoch draws from its own streams ("rows", "draws" and torch's global one for dropout), so that an epoch's
    numbers do not depend on whether the run was interrupted before it.

    Args:
        name: of the snapshot and in the lines reported.
        modules: whatever is trained or carries state, in train mode.
        batches: row numbers of one epoch, given the stream "rows".
        batches_per_epoch: how many of them there are, for the schedule.
        loss: named parts with `total`, given rows and the stream "draws".
        after_step: called after each optimiser step (a momentum update, say).

    Returns:
        a row an epoch: `epoch` and the mean of each part.
    """
    curve: Curve = []
    snapshot = resume.load(name) if resume else None
    if snapshot:
        tensors, facts = snapshot
        restore_training_state(tensors, modules, optimizer)
        curve = facts["curve"]
        report(f"{name}: continuing after epoch {len(curve)} of {epochs}")
    for module in modules.values():
        module.train()
    for epoch in range(len(curve), epochs):
        rows_stream = torch_stream(seed, name, "rows", epoch, device=device)
        draws = torch_stream(seed, name, "draws", epoch, device=device)
        sums: dict[str, Tensor] = {}
        with global_torch_stream(seed, name, "dropout", epoch):
            for step, rows in enumerate(batches(rows_stream)):
                rate = learning_rate * cosine_decay(epoch * batches_per_epoch + step, epochs * batches_per_epoch)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad(set_to_none=True)
                parts = loss(rows, draws)
                parts["total"].backward()
                optimizer.step()
                after_step()
                for key, value in parts.items():
                    sums[key] = sums.get(key, torch.zeros((), device=device)) + value.detach()
        curve.append({"epoch": epoch + 1} | {key: float(value) / (step + 1) for key, value in sums.items()})
        refuse_divergence(name, curve)
        report(f"{name}: epoch {epoch + 1} of {epochs}, loss {curve[-1]['total']:.4f}")
        if resume:
            resume.save(name, training_state(modules, optimizer), {"curve": curve})
    return curve
