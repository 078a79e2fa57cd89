"""What every training loop shares: epochs that resume, a learning rate that decays, a curve that is written down."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import torch
from torch import nn

from cspops.errors import CspopsError
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Tensor
from cspops.training.processes import ALONE, Processes
from cspops.training.resume import Resume

log = logging.getLogger(__name__)

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


SNAPSHOT_SECONDS = 60.0
"""An epoch that takes longer is snapshot within, so that a kill loses no more than this."""


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
    after_epoch: Callable[[], Mapping[str, float]] = dict,
    is_over: Callable[[], bool] = lambda: False,
    warm_up: int = 0,
    accumulation: int = 1,
    processes: Processes = ALONE,
    seed: int,
    device: torch.device,
    resume: Resume | None,
) -> Curve:
    """Train for ``epochs`` epochs with a cosine learning rate; continue from the last snapshot of ``resume``.

    Every epoch draws from its own streams ("rows", "draws" and torch's global one for dropout), and a snapshot within an
    epoch holds where they were, so that a run's numbers do not depend on whether, and where, it was interrupted.

    Args:
        name: of the snapshot and in the lines reported.
        modules: whatever is trained or carries state, in train mode.
        optimizer: a parameter group with a `share` has that share of the learning rate.
        batches: row numbers of one epoch, given the stream "rows".
        batches_per_epoch: how many of them there are, for the schedule.
        loss: named parts with `total`, each a mean over the rows it is given, and the stream "draws".
        after_step: called after each optimiser step (a momentum update, say).
        after_epoch: further columns of the epoch's row; called before its snapshot, it may change buffers of ``modules``.
        is_over: whether to stop after an epoch; asked of the same state in a run that continues.
        warm_up: optimiser steps over which the learning rate rises in equal steps before the cosine.
        accumulation: parts that a batch is cut into, of two rows at least, whose gradients are added up.
        processes: that train together, each of which is given the same batches; ``loss`` takes its share of one. The first
            alone reports and writes snapshots.

    Returns:
        a row an epoch: `epoch`, the mean of each part, and what ``after_epoch`` adds.
    """
    curve: Curve = []
    done, rng, sums = 0, None, dict[str, Tensor]()
    snapshot, writes = resume.load(name) if resume else None, resume if processes.first else None
    if snapshot:
        for key, module in modules.items():
            module.load_state_dict(snapshot["modules"][key])
        optimizer.load_state_dict(snapshot["optimizer"])
        curve, done, rng = snapshot["curve"], snapshot["steps"], snapshot["rng"]
        sums = {key: sum_.to(device) for key, sum_ in snapshot["sums"].items()}
        if processes.first:
            log.info(f"{name}: continuing after epoch {len(curve)} of {epochs}" + (f" and {done} steps" if done else ""))
    for module in modules.values():
        module.train()
    saved = time.monotonic()
    for epoch in range(len(curve), epochs):
        if curve and not done and is_over():
            break
        rows_stream = torch_stream(seed, name, "rows", epoch, device=device)
        draws = torch_stream(seed, name, "draws", epoch, device=device)
        with global_torch_stream(seed, name, "dropout", epoch, *([] if processes.first else [processes.rank])):
            if done and rng:
                _set_streams(rng, draws, device if processes.first else None)
            for step, rows in enumerate(islice(batches(rows_stream), done, None), done):
                at = epoch * batches_per_epoch + step
                rate = learning_rate * warmed_cosine(at, epochs * batches_per_epoch, warm_up=warm_up)
                for group in optimizer.param_groups:
                    group["lr"] = rate * group.get("share", 1.0)
                optimizer.zero_grad(set_to_none=True)
                for part in rows.tensor_split(max(1, min(accumulation, len(rows) // 2))):
                    parts = loss(part, draws)
                    weight = len(part) / len(rows)
                    (parts["total"] * weight if accumulation > 1 else parts["total"]).backward()
                    for key, value in parts.items():
                        mean = processes.mean(value.detach()) * weight
                        sums[key] = sums.get(key, torch.zeros((), device=device)) + mean
                optimizer.step()
                after_step()
                if writes and time.monotonic() - saved > SNAPSHOT_SECONDS:
                    _save(writes, name, modules, optimizer, curve, step + 1, sums, _streams(draws, device))
                    saved = time.monotonic()
        curve.append({"epoch": epoch + 1} | {key: float(value) / (step + 1) for key, value in sums.items()})
        refuse_divergence(name, curve)
        curve[-1] |= after_epoch()
        if processes.first:
            log.info(f"{name}: epoch {epoch + 1} of {epochs}, loss {curve[-1]['total']:.4f}")
        done, sums = 0, {}
        if writes:
            _save(writes, name, modules, optimizer, curve, 0, {}, {})
            saved = time.monotonic()
    return curve


def warmed_cosine(step: int, steps: int, *, warm_up: int) -> float:
    """(step + 1) / warm_up during the first ``warm_up`` steps, then half a cosine from 1 over the others."""
    if step < warm_up:
        return (step + 1) / warm_up
    return cosine_decay(step - warm_up, max(1, steps - warm_up))


def _save(
    resume: Resume,
    name: str,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    curve: Curve,
    steps: int,
    sums: Mapping[str, Tensor],
    rng: Mapping[str, Tensor],
) -> None:
    """Write down where training is: ``steps`` steps into the epoch after the curve's last."""
    state = {"modules": {key: module.state_dict() for key, module in modules.items()}, "optimizer": optimizer.state_dict()}
    resume.save(name, state | {"curve": curve, "steps": steps, "sums": dict(sums), "rng": dict(rng)})


def _streams(draws: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """Where the streams of an epoch are; the stream of rows is drawn from at the epoch's start only."""
    found = {"draws": draws.get_state(), "cpu": torch.get_rng_state()}
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_streams(rng: Mapping[str, Tensor], draws: torch.Generator, device: torch.device | None) -> None:
    """Put the streams where they were; without a device, that of "draws" alone: dropout is each process's own."""
    draws.set_state(rng["draws"])
    if device is None:
        return
    torch.set_rng_state(rng["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(rng["cuda"], device)
