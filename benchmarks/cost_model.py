"""What `benchmarks.scale` has measured, as sums of terms that grow with rows and classes, and what that says of far more.

Each cost is fitted by least squares of relative errors, with no factor below 0, and is shown with the share by which the worst
measured point is off. Time is CPU seconds per rank: what it takes where each rank has a core of its own, and neither disk nor
network is waited for. What is EXTRAPOLATED is such a fit far beyond its points; what is COMPUTED follows from shapes alone.
Neither was measured. FITTED is said where the points reach that far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import training
from cspops.evaluation import pool_fit

ROWS, Q, TABLE, HELD = "rows", "classes", "rows x classes", "numbers held"
STEPS = 2
WRITTEN, READ, PRETRAIN, FINETUNE = "features written", "features read", "pretrain, an epoch", f"finetune-loc, {STEPS} steps"
EVALUATE, EMBED = "evaluate", "embed"
TIME = {WRITTEN: (ROWS,), READ: (ROWS,), PRETRAIN: (ROWS,), FINETUNE: (Q,), EVALUATE: (ROWS, Q, TABLE), EMBED: (ROWS,)}
MEMORY = {PRETRAIN: (ROWS,), FINETUNE: (Q,), EVALUATE: (ROWS, Q, HELD), EMBED: (ROWS,)}
"""What costs are fitted to, besides a constant. Features are mapped files, whose memory the system takes back; evaluation
holds numbers per row and class for the choice of the pool, as many as `pool_fit.KEPT` at most."""
IMAGES, CLASSES, EVALUATED = 10**8, 10**5, 10**6
RANKS, BATCH = 64, 16384
"""What is extrapolated to; rows per step over all ranks."""
NETWORK = 1.25e9
"""Bytes per second of a machine: 10 Gbit/s."""
FLOAT = 4


@dataclass(frozen=True)
class Point:
    """What one measurement is of."""

    leg: str
    rows: int
    classes: int = 0
    ranks: int = 1

    def term(self, name: str) -> float:
        table = self.rows * self.classes
        return {"constant": 1.0, ROWS: self.rows, Q: self.classes, TABLE: table, HELD: min(table, pool_fit.KEPT)}[name]


@dataclass(frozen=True)
class Cost:
    """What it took."""

    wall: float
    cpu: float
    """CPU seconds per rank."""
    peak_mb: float
    """Of the largest process, above what imports take; pages of mapped files are part of it."""
    disk: int
    """Bytes written."""


@dataclass(frozen=True)
class Here:
    """The bytes that this machine has."""

    memory: int
    disk: int


@dataclass(frozen=True)
class Fit:
    """A cost as a sum of terms with factors of at least 0."""

    factors: dict[str, float]
    worst: float
    """The greatest share by which a measured point is off."""

    @classmethod
    def of(cls, points: Sequence[Point], costs: Sequence[float], terms: Sequence[str]) -> "Fit":
        """Fit; a point of next to nothing counts as a thousandth of the largest."""
        from scipy.optimize import nnls

        weight = 1 / np.maximum(costs, max(1e-9, 1e-3 * max(costs)))
        table = np.array([[point.term(term) for term in ("constant", *terms)] for point in points])
        scale = table.max(0)
        factors = nnls(table / scale * weight[:, None], np.array(costs) * weight)[0] / scale
        off = np.abs(table @ factors - costs) * weight
        return cls(dict(zip(("constant", *terms), factors.tolist(), strict=True)), float(off.max()))

    def at(self, point: Point) -> float:
        return sum(factor * point.term(term) for term, factor in self.factors.items())

    def __str__(self) -> str:
        return " + ".join(f"{factor:.3g}" + ("" if term == "constant" else f" {term}") for term, factor in self.factors.items())


Fits = dict[tuple[str, int, str], Fit]
"""By leg, ranks and unit: `s` or `MB`."""


def fits_of(costs: Mapping[Point, Cost]) -> Fits:
    fits: Fits = {}
    for leg, ranks in dict.fromkeys((point.leg, point.ranks) for point in costs):
        points = [point for point in costs if (point.leg, point.ranks) == (leg, ranks)]
        fits[leg, ranks, "s"] = Fit.of(points, [costs[point].cpu for point in points], TIME[leg])
        if leg in MEMORY:
            fits[leg, ranks, "MB"] = Fit.of(points, [costs[point].peak_mb for point in points], MEMORY[leg])
    return fits


@dataclass(frozen=True)
class Need:
    """What far more rows or classes would take."""

    what: str
    amount: float
    unit: str
    basis: str
    """EXTRAPOLATED, from a fit; FITTED, among its points; or COMPUTED."""
    have: float | None = None
    """What there is of it, where it could bind."""

    @property
    def share(self) -> float:
        return self.amount / self.have if self.have else 0.0


def needs_of(costs: Mapping[Point, Cost], fits: Fits, here: Here) -> list[Need]:
    """Return what `IMAGES` and `CLASSES` would take; figures of time are of a core of this machine for each rank."""
    images = Point(PRETRAIN, IMAGES)
    widest = max((point for point in costs if point.leg == WRITTEN), key=lambda point: point.rows)
    bytes_per_row = costs[widest].disk / widest.rows
    epoch = fits[PRETRAIN, 1, "s"].factors[ROWS] * IMAGES
    step = fits[PRETRAIN, 1, "s"].factors[ROWS] * BATCH / RANKS
    judged = Point(EVALUATE, EVALUATED, CLASSES)
    ex, co = "EXTRAPOLATED", "COMPUTED"
    fitted = "FITTED" if max(point.classes for point in costs if point.leg == FINETUNE) >= CLASSES else ex
    needs = [
        Need("features on disk", bytes_per_row * IMAGES, "GB", ex, here.disk),
        Need("embeddings of all places on disk", training.Shapes().dim * FLOAT * IMAGES, "GB", co, here.disk),
        Need("pre-training, memory of a process", 1e6 * fits[PRETRAIN, 1, "MB"].at(images), "GB", ex, here.memory),
        Need("T, its gradient and Adam's two moments", 4 * FLOAT * CLASSES * training.Shapes().dim, "GB", co, here.memory),
        Need("fine-tuning, memory", 1e6 * fits[FINETUNE, 1, "MB"].at(Point(FINETUNE, 0, CLASSES)), "GB", fitted, here.memory),
        Need(f"evaluation of {EVALUATED:,} rows, memory", 1e6 * fits[EVALUATE, 1, "MB"].at(judged), "GB", ex, here.memory),
        Need("embedding, memory", 1e6 * fits[EMBED, 1, "MB"].at(images), "GB", ex, here.memory),
        Need(f"network of a step on {RANKS} ranks, at 10 Gbit/s", message_bytes() / NETWORK, "s", co, step),
        Need("reading all features once, CPU alone", fits[READ, 1, "s"].factors[ROWS] * IMAGES / 3600, "hours", ex),
        Need("pre-training, an epoch", epoch / 3600, "hours", ex),
    ]
    for ranks in sorted(ranks for leg, ranks, unit in fits if leg == PRETRAIN and unit == "s" and ranks > 1):
        shared = fits[PRETRAIN, ranks, "s"].factors[ROWS] * IMAGES / 3600
        needs.append(Need(f"pre-training, an epoch, {ranks} ranks here", shared, "hours", ex))
    return [
        *needs,
        Need(f"the same on {RANKS} cores, were nothing lost", epoch / 3600 / RANKS, "hours", co),
        Need("fine-tuning, a step", fits[FINETUNE, 1, "s"].factors[Q] * CLASSES / STEPS, "s", fitted),
        Need(f"evaluation of {EVALUATED:,} rows", fits[EVALUATE, 1, "s"].at(judged) / 3600, "hours", ex),
        Need("embedding", fits[EMBED, 1, "s"].at(images) / 3600, "hours", ex),
    ]


def message_bytes(ranks: int = RANKS, batch: int = BATCH) -> float:
    """Return what a rank sends in a step of `mc` with B and D.

    In each of the two, rows of all ranks are gathered, and their gradients summed, by rings; then so are those of the weights.
    """
    shapes, share = training.Shapes(), (ranks - 1) / ranks
    rows = batch * shapes.dim * FLOAT
    inner = 4 * shapes.scales * shapes.hidden + shapes.hidden * shapes.dim + shapes.features * shapes.dim
    return 2 * (share * rows + 2 * share * rows) + 2 * share * inner * FLOAT


def print_model(costs: Mapping[Point, Cost], fits: Fits, here: Here) -> list[Need]:
    """Print the fits, and what they say of far more, and return the latter."""
    print(f"\n{'FITTED':24}{'ranks':>6}{'unit':>6}  {'':58}{'worst point off':>16}")
    for (leg, ranks, unit), fit in fits.items():
        print(f"{leg:24}{ranks:>6}{unit:>6}  {fit!s:58}{fit.worst:>16.0%}")
    needs = needs_of(costs, fits, here)
    print(f"\n{f'{IMAGES:,} images, {CLASSES:,} classes':56}{'needs':>12}{'here':>12}")
    for need in needs:
        size = 1e9 if need.unit == "GB" else 1.0
        has = "" if need.have is None else f"{need.have / size:,.3g}"
        print(f"{need.what:56}{need.amount / size:>12,.3g}{has:>12} {need.unit:6} {need.basis}")
    first = max(needs, key=lambda need: need.share)
    print(f"binds first: {first.what}, {first.share:,.1f} times what is here")
    return needs
