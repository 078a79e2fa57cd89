"""What scores.json and regions.json hold, as commands read them that look at a finished run."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat

from cspops.artefacts import json_as
from cspops.errors import DataError
from cspops.evaluation.metrics import MODELS

REMAKE = "dvc repro evaluate"


Number = Annotated[int, Field(ge=-(10**15), le=10**15)] | FiniteFloat


def _with(*keys: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def check(value: dict[str, Any]) -> dict[str, Any]:
        if lacking := [key for key in keys if value.get(key) is None]:
            raise ValueError(f"{lacking[0]} is missing")
        return value

    return check


Spread = Annotated[dict[str, Number], AfterValidator(_with("mean", "sd"))]
RATIO = re.compile(r"label_([0-9]{1,3}(?:p[0-9]{1,6})?)")
"""Names of label ratios, as `splits.ratio_key` makes them."""
Ratio = Annotated[str, Field(pattern=f"^{RATIO.pattern}$")]
Role = Literal["test", "spatial_test"]
Metrics = dict[str, dict[Ratio, dict[str, dict[str, Spread]]]]
"""By role, label ratio, model and metric; of any run of git, whose roles and models may be others than today's."""

_WORST = ("model", "of", "rows", "top1", "low", "high")
_SCORES = ("rows", "image", "location", "combined", "pool", "gain")


def ratio_of(key: str) -> float:
    """Return the label ratio that `splits.ratio_key` has named; raise a ValueError for another name."""
    match = RATIO.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} names no label ratio")
    return float(match[1].replace("p", ".")) / 100


class Places(BaseModel):
    """The regions of a role and label ratio; the last ring of distances and the last density have no upper border.

    Earlier runs lack the kinds that may be empty.
    """

    latitude: list[Annotated[dict[str, Number], AfterValidator(_with("from", "to", *_SCORES))]]
    cell: list[Annotated[dict[str, Number], AfterValidator(_with("west", "east", "south", "north", *_SCORES))]]
    distance: list[Annotated[dict[str, Number | None], AfterValidator(_with("from", *_SCORES))]]
    density: list[Annotated[dict[str, Number | None], AfterValidator(_with("from", *_SCORES))]] = []
    continent: list[Annotated[dict[str, Number | str], AfterValidator(_with("name", *_SCORES))]] = []
    country: list[Annotated[dict[str, Number | str], AfterValidator(_with("name", *_SCORES))]] = []
    worst: list[Annotated[dict[str, Number | str], AfterValidator(_with("kind", "name", *_WORST))]] = []
    effort: list[dict[str, Number]] = []


SHOWN = ("top1", "nll", "ece")
"""Metrics that the commands show."""


def read_metrics(file: Path) -> Metrics:
    """Read reports/scores.json; DataError where it holds something else, or a model lacks one of `SHOWN`."""
    metrics: Metrics = json_as(file, dict[Role, dict[Ratio, dict[str, dict[str, Spread]]]], remake=REMAKE)
    for role, ratios in metrics.items():
        for ratio, models in ratios.items():
            if lacking := [f"{one} of {model}" for model in MODELS for one in SHOWN if one not in models.get(model, {})]:
                raise DataError(f"{file} holds no {lacking[0]} at {ratio} on {role}", hint=REMAKE)
    return metrics


def read_regions(file: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Read reports/regions.json: by role and label ratio the content of `Places`."""
    by_role: dict[str, dict[str, Places]] = json_as(file, dict[Role, dict[Ratio, Places]], remake=REMAKE)
    return {role: {ratio: places.model_dump() for ratio, places in ratios.items()} for role, ratios in by_role.items()}
