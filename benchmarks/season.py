"""Measure what the date is worth on a real dated set: which species of bird aircraft struck, at which airport and on which day.

    python -m benchmarks.season FOLDER

run from the project's root. FOLDER holds birdstrikes.csv and airports.csv as in vega-datasets 3.2.1 (records of the FAA, public
domain). A strike has the position of the airport that has its name; species with fewer than 25 rows, and unknown ones, are left
out. There are no images: this is P(y|x) and P(y|x, t).

Five folds of whole months at an airport, one to test, one to choose, three to train on. The classifiers are
`finetune_loc.mode: probe_then_full` on an untrained location encoder, all settings those of params.yaml; `pool` is theirs with
labelled neighbours. Differences are from the classifier without time, with 95 % intervals over resamples of airports.
"""

import csv
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from cspops.data.batches import Labelled
from cspops.data.dates import day_share
from cspops.evaluation.pool import Places
from cspops.evaluation.pool_fit import Choosers, Grid, fit
from cspops.evaluation.predictor import LocationPredictor
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params import PretrainView, load, view
from cspops.shapes import Float, Int, Tensor
from cspops.training.linear_probe import ITERATIONS
from cspops.training.location_probe import location_probe, train_on
from cspops.training.loop import Run

PARAMS = load(Path(__file__).parents[1] / "params.yaml")
LEAST, FOLDS, RESAMPLES = 25, 5, 2000
NO_TIME = "none"
TIMES = {
    NO_TIME: {},
    "cos_sin": {"time": {"name": "cos_sin", "dropped": 0.25}},
    "harmonics, orders 2": {"time": {"name": "harmonics", "orders": 2, "dropped": 0.25}},
}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Strikes:
    """Rows with a known species and airport."""

    lonlat: Float[Tensor, "n 2"]
    when: Float[Tensor, "n"]
    label: Int[Tensor, "n"]
    airport: Int[Tensor, "n"]
    fold: Int[Tensor, "n"]

    def of(self, rows: Tensor) -> Labelled:
        return Labelled(self.lonlat[rows], self.label[rows], int(self.label.max()) + 1, self.when[rows])


def words(name: str) -> frozenset[str]:
    """Return the words of an airport's name, by which the two tables know it."""
    return frozenset("INTL" if word == "INTERNATIONAL" else word for word in re.findall("[A-Z]+", name.upper())) - {
        "ARPT",
        "AIRPORT",
    }


def read(folder: Path, *, seed: int = 0) -> Strikes:
    """Read the rows, and draw the folds of whole months at an airport."""
    strikes, airports = (
        [*csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines())]
        for name in ("birdstrikes.csv", "airports.csv")
    )
    named = defaultdict(list)
    for airport in airports:
        named[words(airport["name"])].append(airport)
    rows = [
        (row["Wildlife Species"], row["Flight Date"], found[0])
        for row in strikes
        if len(found := named[words(row["Airport Name"])]) == 1 and not row["Wildlife Species"].startswith("Unknown")
    ]
    count = Counter(species for species, _, _ in rows)
    rows = [row for row in rows if count[row[0]] >= LEAST]
    species, place = (number([row[0] for row in rows]), number([row[2]["iata"] for row in rows]))
    month = number([(row[2]["iata"], row[1][:7]) for row in rows])
    drawn = torch.randint(FOLDS, (int(month.max()) + 1,), generator=torch.Generator().manual_seed(seed))
    lonlat = torch.tensor([[float(row[2][key]) for key in ("longitude", "latitude")] for row in rows], dtype=torch.float64)
    when = torch.tensor([day_share(row[1]) for row in rows], dtype=torch.float64)
    return Strikes(lonlat, when, species, place, drawn[month])


def number(names: list[object]) -> Int[Tensor, "n"]:
    """Return a number for each name, by its first row."""
    known: dict[object, int] = {}
    return torch.tensor([known.setdefault(name, len(known)) for name in names])


def trained(rows: Strikes, train: Tensor, val: Tensor, time: str, seed: int) -> LocationClassifier:
    settings = PARAMS.finetune_loc.modes.probe_then_full
    assert settings is not None
    torch.manual_seed(seed)
    encoder = LocationEncoder(view(PARAMS, PretrainView).encoder_config() | TIMES[time])
    known, chooses = rows.of(train), rows.of(val)
    probe = location_probe(known, encoder, settings.probe_l2, max_iterations=ITERATIONS, val=chooses, device=CPU)
    return train_on(probe, known, settings, val=chooses, run=Run(seed, CPU)).model


@torch.no_grad()
def judged(rows: Strikes, fold: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of a row of the table, and log P of each test row."""
    test, val = ((rows.fold == (fold + k) % FOLDS).nonzero()[:, 0] for k in (0, 1))
    train = ((rows.fold != fold) & (rows.fold != (fold + 1) % FOLDS)).nonzero()[:, 0]
    known, none = rows.of(train), torch.empty(0, dtype=torch.long)
    near = Places(known.lonlat, known.label, known.when).near(rows.lonlat, rows.when)
    grid = PARAMS.evaluate.pool
    for time in TIMES:
        with torch.enable_grad():
            predict = LocationPredictor(trained(rows, train, val, time, fold))
        log_p = predict(rows.lonlat, rows.when)
        yield f"{time}", log_p[test]
        if time != NO_TIME:
            yield f"{time}, without the date", predict(rows.lonlat[test])
        blind = torch.full_like(log_p, -math.log(known.classes))
        for days in ((None,), grid.kernel_days)[: 1 if time == NO_TIME else 2]:
            choices = Grid(grid.kernel_km, grid.count_weight, days)
            tables = (blind, log_p)
            pool = fit(
                lambda some, tables=tables: tuple(one[some] for one in tables),  # type: ignore[misc]
                rows.label,
                near,
                Choosers(val, none, none),
                choices,
                classes=known.classes,
            )
            name = "pool" if days == (None,) else "pool with dates"
            yield f"{time}, {name}", pool.log_p(None, log_p[test], near.of(test), torch.ones(len(test), dtype=torch.bool))


def table(rows: Strikes) -> str:
    """Return the table of NLL and top-1."""
    scores: dict[str, list[Tensor]] = defaultdict(list)
    order = torch.cat([(rows.fold == fold).nonzero()[:, 0] for fold in range(FOLDS)])
    for fold in range(FOLDS):
        label = rows.label[rows.fold == fold]
        for name, log_p in judged(rows, fold):
            hits = 100 * (log_p.argmax(1) == label).double()
            scores[name].append(torch.stack((-log_p.gather(1, label[:, None])[:, 0], hits)))
    whole = {name: torch.cat(parts, 1) for name, parts in scores.items()}
    airports = int(rows.airport.max()) + 1
    draws = torch.randint(airports, (RESAMPLES, airports), generator=torch.Generator().manual_seed(0))
    weight = torch.zeros(RESAMPLES, airports).scatter_add_(1, draws, torch.ones(draws.shape)).double()[:, rows.airport[order]]
    lines = [f"{len(order):,} strikes, {int(rows.label.max()) + 1} species, {airports} airports"]
    for name, both in whole.items():
        gap = both - whole[NO_TIME]
        low, high = ((gap @ weight.T) / weight.sum(1)).quantile(torch.tensor([0.025, 0.975]).double(), dim=1)
        nll, top1 = both.mean(1).tolist()
        change = f"{gap[0].mean():+.3f} ({low[0]:+.3f} to {high[0]:+.3f})" if name != NO_TIME else ""
        gain = f"{gap[1].mean():+.1f} ({low[1]:+.1f} to {high[1]:+.1f})" if name != NO_TIME else ""
        lines.append(f"| {name} | {nll:.3f} | {change} | {top1:.1f} | {gain} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(table(read(Path(sys.argv[1]))))
