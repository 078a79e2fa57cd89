"""Thresholds of a class on the validation rows of a run, which chose neither its places nor its learned model."""

from dataclasses import dataclass
from pathlib import Path

import torch

from cspops.data.catalogue import read_observations
from cspops.data.splits import read_choosing
from cspops.errors import DataError
from cspops.evaluation.thresholds import Rule, Threshold
from cspops.kernels import row_blocks
from cspops.library.loading import run_of
from cspops.library.model import Model
from cspops.shapes import Bool, Float, Tensor

GIVEN = "--threshold 0.2 sets one without validation"


@dataclass(frozen=True)
class Chosen:
    """A threshold, and the rows that it was chosen on."""

    threshold: Threshold
    rows: int
    presences: int


def choose_threshold(model: Model, folder: Path, number: int, rule: Rule, *, learned: bool, dated: bool = False) -> Chosen:
    """Return the threshold of P_n(y|x), or of the learned P(y|x) alone, for the class ``number`` of a model in ``folder``.

    ``dated`` takes validation rows on their own dates, for a map of a day, and not as averages over the year.

    Raise a DataError where the folder is no whole run, or no validation row with a position is of the class.
    """
    p, present = _validation(model, folder, number, learned=learned, dated=dated)
    name = model.classes[number] if model.classes is not None else number
    if not present.any():
        raise DataError(f"none of the {len(p):,} validation rows with a position is of the class {name!r}", hint=GIVEN)
    return Chosen(rule.choose(p, present), len(p), int(present.sum()))


@torch.inference_mode()
def _validation(
    model: Model, folder: Path, number: int, *, learned: bool, dated: bool
) -> tuple[Float[Tensor, "n"], Bool[Tensor, "n"]]:
    """Return P of a class at the labelled validation rows with a position, and which are of it."""
    run = run_of(folder)
    if run is None or model.seed is None or model.label_ratio is None or not (run / "split" / "roles.parquet").is_file():
        raise DataError(f"{folder} has no validation rows to choose a threshold on", hint=f"name a whole run; {GIVEN}")
    observations = read_observations(run / "download")
    rows = read_choosing(run / "split", observations.obs_id, seed=model.seed, ratio=model.label_ratio)["val"]
    rows &= observations.located & (observations.label >= 0)
    lonlat, label = observations.lonlat[rows], observations.label[rows]
    when = observations.when[rows] if dated else torch.full((len(lonlat),), torch.nan, dtype=torch.float64)
    log_p = model.location_log_p if learned else model.place_log_p
    blocks = row_blocks(torch.arange(len(lonlat)), len(observations.classes))
    parts = [log_p(lonlat[some], when[some])[:, number].exp() for some in blocks]
    return torch.cat([torch.empty(0, dtype=torch.float64), *parts]), label == number
