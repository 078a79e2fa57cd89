"""What every training loop shares: epochs that resume, a learning rate that decays, a curve."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from cspops.data.batches import Order, epoch_of_rows
from cspops.errors import CspopsError
from cspops.ranks import ALONE, Processes
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Tensor
from cspops.training.resume import Resume

log = logging.getLogger(__name__)

Curve = list[dict[str, float]]
"""One row per epoch (or interval): its number and the mean of every loss term in force."""


def cosine_decay(step: int, steps: int, *, last: float = 0.0) -> float:
    """Return the point of half a cosine from 1 at step 0 to ``last`` at step ``steps``."""
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps))


def exponential_decay(step: int, steps: int, *, last: float) -> float:
    """Decay by a constant factor per step, from 1 at step 0 to ``last`` (above 0) at step ``steps``."""
    return float(last ** (step / steps))


def refuse_divergence(name: str, curve: Curve) -> None:
    """Raise CspopsError when the last row of the curve is not finite: further training could not recover."""
    if not math.isfinite(curve[-1]["total"]):
        number, where = next(iter(curve[-1].items()))
        raise CspopsError(
            f"{name}: the loss is {curve[-1]['total']} at {number} {where:g}: training has diverged",
            hint="a smaller learning rate, or a larger temperature, in params.yaml",
        )


SNAPSHOT_SECONDS = 60.0
"""A longer epoch is saved along the way, so that a kill loses no more than this."""


@dataclass(frozen=True)
class Run:
    """Which streams a training draws from, where it computes, and where its progress goes."""

    seed: int
    device: torch.device
    resume: Resume | None = None
    processes: Processes = ALONE
    """Those that train together: each is given the same batches, and takes its share of one in the loss, whose parts are so
    weighted that their means over the processes are those of the batch. The first alone reports and writes snapshots."""


@dataclass(frozen=True)
class Schedule:
    """Passes over ``rows`` in shuffled batches, the learning rate falling to zero along half a cosine."""

    rows: int
    epochs: int
    batch_size: int
    learning_rate: float
    warm_up: int = 0
    """Optimizer steps over which the learning rate rises in equal steps before the cosine."""
    accumulation: int = 1
    """Parts that a batch is cut into, of two rows at least, whose gradients are added up."""
    order: Order | None = None
    """Draws the order of an epoch's rows, see `epoch_of_rows`."""

    @property
    def batches(self) -> int:
        """The number of batches per epoch; the last one holds what is left."""
        return -(-self.rows // self.batch_size)

    @property
    def steps(self) -> int:
        """The number of steps per epoch: `epoch_of_rows` drops a last batch of one row."""
        return self.batches - (self.batches > 1 and self.rows % self.batch_size == 1)


@dataclass(frozen=True)
class Training:
    """What is trained, and what an optimizer step, an epoch and the end of training are."""

    name: str
    """Of the snapshot, of the random streams and in the lines reported."""
    modules: Mapping[str, nn.Module]
    """Whatever is trained or carries state; put in train mode."""
    optimizer: torch.optim.Optimizer
    """A parameter group with a `share` has that share of the learning rate."""
    loss: Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]
    """From row numbers and the stream "draws" to named parts with `total`, each a mean over the rows."""
    after_step: Callable[[], None] = lambda: None
    """Called after each optimizer step (a momentum update, say)."""
    after_epoch: Callable[[], Mapping[str, float]] = dict
    """Further columns of the epoch's row; called before its snapshot, it may change buffers of ``modules``."""
    is_over: Callable[[], bool] = lambda: False
    """Whether to stop after an epoch; a run that continues asks it of the same state."""


def run_epochs(training: Training, schedule: Schedule, run: Run) -> Curve:
    """Train for the epochs of the schedule; continue from the last snapshot of ``run.resume``.

    Every epoch draws from its own streams ("rows", "draws" and torch's global one for dropout), and a snapshot within an
    epoch holds where they were, so that a run's numbers do not depend on whether, and where, it was interrupted.

    Returns:
        one row per epoch: `epoch`, the mean of each part, and what ``training.after_epoch`` adds.
    """
    name, seed, device, processes = training.name, run.seed, run.device, run.processes
    epochs, accumulation = schedule.epochs, schedule.accumulation
    curve: Curve = []
    done, rng, sums = 0, dict[str, Tensor](), dict[str, Tensor]()
    writes = run.resume if processes.first else None
    for module in training.modules.values():
        processes.agree(module, buffers_alone=False)
    snapshot = run.resume.load(name, processes) if run.resume else None
    if snapshot is not None and (progress := _restored(training, schedule, snapshot, run)):
        curve, done, rng, sums = progress
        if processes.first:
            log.info(f"{name}: continuing after epoch {len(curve)} of {epochs}" + (f" and {done} steps" if done else ""))
    for module in training.modules.values():
        module.train()
    saved = time.monotonic()
    for epoch in range(len(curve), epochs):
        if curve and not done and training.is_over():
            break
        rows_stream = torch_stream(seed, name, "rows", epoch, device=device)
        batches = epoch_of_rows(schedule.rows, schedule.batch_size, generator=rows_stream, order=schedule.order)
        draws = torch_stream(seed, name, "draws", epoch, device=device)
        with global_torch_stream(seed, name, "dropout", epoch):
            if done and rng:
                _set_streams(rng, draws, device)
            for step, rows in enumerate(islice(batches, done, None), done):
                at = epoch * schedule.batches + step
                rate = schedule.learning_rate * warmed_cosine(at, epochs * schedule.batches, warm_up=schedule.warm_up)
                for group in training.optimizer.param_groups:
                    group["lr"] = rate * group.get("share", 1.0)
                training.optimizer.zero_grad(set_to_none=True)
                values = list[tuple[str, Tensor]]()
                # tensor_split makes parts of unequal size, so each mean counts by its share of the batch
                for part in rows.tensor_split(max(1, min(accumulation, len(rows) // 2))):
                    parts = training.loss(part, draws)
                    weight = len(part) / len(rows)
                    (parts["total"] * weight if accumulation > 1 else parts["total"]).backward()
                    values += ((key, value.detach() * weight) for key, value in parts.items())
                processes.average([*gradients(training.optimizer), *(value for _, value in values)])
                for key, value in values:
                    sums[key] = sums.get(key, torch.zeros((), device=device)) + value
                training.optimizer.step()
                training.after_step()
                # after the last step comes the snapshot of the epoch
                if writes and step + 1 < schedule.steps and time.monotonic() - saved > SNAPSHOT_SECONDS:
                    _save(writes, training, curve, step + 1, sums, _streams(draws, device))
                    saved = time.monotonic()
        curve.append({"epoch": epoch + 1} | {key: float(value) / (step + 1) for key, value in sums.items()})
        refuse_divergence(name, curve)
        curve[-1] |= training.after_epoch()
        if processes.first:
            log.info(f"{name}: epoch {epoch + 1} of {epochs}, loss {curve[-1]['total']:.4f}")
        done, sums = 0, {}
        if writes:
            _save(writes, training, curve, 0, {}, {})
            saved = time.monotonic()
    return curve


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the gradients of all that is trained."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def warmed_cosine(step: int, steps: int, *, warm_up: int) -> float:
    """Return (step + 1) / warm_up during the first ``warm_up`` steps, then half a cosine from 1 over the others."""
    if step < warm_up:
        return (step + 1) / warm_up
    return cosine_decay(step - warm_up, max(1, steps - warm_up))


Progress = tuple[Curve, int, dict[str, Tensor], dict[str, Tensor]]
"""Of a training: its curve, the steps into the next epoch, the states of that epoch's streams, the sums of its terms."""


def _restored(training: Training, schedule: Schedule, snapshot: Mapping[str, Any], run: Run) -> Progress | None:
    """Put the training where a snapshot was taken; None, and a warning, where it does not fit: all is then as before."""
    before = copy.deepcopy(_state(training))
    try:
        _load_state(training, snapshot)
        curve = [{str(key): value + 0 for key, value in row.items()} for row in snapshot["curve"]]
        done, rng = int(snapshot["steps"]), dict(snapshot["rng"])
        sums = {str(key): sum_.to(run.device) for key, sum_ in snapshot["sums"].items()}
        if len(curve) > schedule.epochs or not 0 <= done < schedule.steps or bool(done) != bool(rng):
            raise ValueError("another schedule")
        if rng:
            torch.Generator(run.device).set_state(rng["draws"])
            torch.Generator().set_state(rng["cpu"])
    except Exception as error:  # whatever torch says of states of another shape
        _load_state(training, before)
        log.warning(f"the progress of {training.name} does not fit ({type(error).__name__}): it begins anew")
        return None
    return curve, done, rng, sums


def _state(training: Training) -> dict[str, Any]:
    modules = {key: module.state_dict() for key, module in training.modules.items()}
    return {"modules": modules, "optimizer": training.optimizer.state_dict()}


def _load_state(training: Training, state: Mapping[str, Any]) -> None:
    for key, module in training.modules.items():
        module.load_state_dict(state["modules"][key])
    training.optimizer.load_state_dict(state["optimizer"])


def _save(
    resume: Resume,
    training: Training,
    curve: Curve,
    steps: int,
    sums: Mapping[str, Tensor],
    rng: Mapping[str, Tensor],
) -> None:
    """Save where training is: ``steps`` steps into the epoch after the curve's last."""
    state = _state(training) | {"sums": dict(sums), "rng": dict(rng)}
    resume.save(training.name, state | {"curve": curve, "steps": steps})


def _streams(draws: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """Return the states of an epoch's streams; that of rows is missing, as it is drawn from at the epoch's start only."""
    states = {"draws": draws.get_state(), "cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_streams(rng: Mapping[str, Tensor], draws: torch.Generator, device: torch.device) -> None:
    """Put the streams where they were."""
    draws.set_state(rng["draws"])
    torch.set_rng_state(rng["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(rng["cuda"], device)
