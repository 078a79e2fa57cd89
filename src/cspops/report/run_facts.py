"""What was run, from each stage.json: params in force, differences from the defaults, hashes."""

import csv
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cspops.artefacts import json_as
from cspops.params import default_params, value_at


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return leaves by path (`losses.mc.tau_batch`), below ``path`` where it is given; an empty section below is a leaf."""
    if not isinstance(value, Mapping) or (path and not value):
        return {path: value}
    below = [leaves(one, f"{path}.{name}" if path else str(name)) for name, one in value.items()]
    return {key: leaf for some in below for key, leaf in some.items()}


Record = dict[str, Any]
Records = Mapping[str, Mapping[str, Any]]
"""By stage: `params`, values by path, and `files`, sha256 by name."""

HASH = 12
"""Digits of a hash that are shown."""
SOURCES = {
    "blue_marble": (
        "Blue Marble climate zones",
        "pieces of NASA's Blue Marble with their Köppen-Geiger climate zones, embedded in cspops",
    ),
    "inat2018": ("iNat2018", "iNaturalist 2018"),
    "fmow": ("fMoW", "Functional Map of the World"),
}
"""Of sources that have a name of their own, how headings and how sentences call them."""


def heading_of(source: str) -> str:
    """Return what a heading calls a source."""
    return SOURCES[source][0] if source in SOURCES else f"a {source} of images"


def described(source: str) -> str:
    """Return what a sentence calls a source."""
    return SOURCES[source][1] if source in SOURCES else f"a {source} of images"


def class_titles(source: str, classes: Sequence[str]) -> list[str]:
    """Return classes as a reader knows them: `Cfb (temperate oceanic)` of the embedded climate zones, others as they are."""
    if source != "blue_marble":
        return list(classes)
    with files("cspops").joinpath("sample", "climate_zones.csv").open(encoding="utf-8") as opened:
        names = {row["zone"]: row["name"] for row in csv.DictReader(opened)}
    return [f"{zone} ({names[zone]})" if zone in names else zone for zone in classes]


def read_records(folders: Mapping[str, Path]) -> Records:
    """Read the stage.json of each folder."""
    remake = "dvc repro -f {}"
    return {stage: json_as(folder / "stage.json", Record, remake=remake.format(stage)) for stage, folder in folders.items()}


def value_of(records: Records, path: str) -> Any:
    """Return the value in force of a key such as `dataset.source`; raise a KeyError when no stage recorded it."""
    return _in_force(records)[path]


def differences(records: Records, also: Mapping[str, Any]) -> list[list[str]]:
    """Return key, default and value of each param in force that differs from the params.yaml of cspops.

    Args:
        records: those of the stages before the report.
        also: params of the report itself, by path.
    """
    default = default_params()
    paths = {path: value for record in records.values() for path, value in record["params"].items()} | dict(also)
    rows = []
    for path, value in paths.items():
        mine, usual = _flat(path, value), _flat(path, _plain(value_at(default, path)))
        for key in dict.fromkeys((*usual, *mine)):
            if mine.get(key) != usual.get(key):
                rows.append((key, _text(usual.get(key)), _text(mine.get(key))))
    return [list(row) for row in dict.fromkeys(rows)]


def facts(
    records: Records, *, loss: str, roles: Mapping[str, int], labels: Sequence[str], classes: int, given: bool = False
) -> list[tuple[str, str]]:
    """Return name and value of what a reader wants to know first; ``given``: the data came with image features."""
    source = value_of(records, "dataset.source")
    encoding, network = (value_of(records, f"location_encoder.{part}.name") for part in ("encoding", "network"))
    time = _in_force(records).get("location_encoder.time", "none")  # older records have none
    season = "" if time == "none" else f", time {time}"
    seeds = value_of(records, "seeds")
    return [
        ("Pre-training loss", loss),
        ("Data", f"{described(source)} ({source})"),
        ("Observations", ", ".join(f"{count:,} {name}" for name, count in roles.items())),
        ("Classes", f"{classes:,}"),
        ("Labels for fine-tuning", ", ".join(labels)),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Location encoder", f"{encoding} + {network}, d = {value_of(records, 'location_encoder.dim')}{season}"),
        ("Image network", "none: the data came with features" if given else _image_network(records)),
        ("Location classifier", _location_classifier(records)),
        ("Image classifier", str(value_of(records, "finetune_img.mode"))),
        ("cspops", package_version()),
        ("sha256 of the catalogue", records["download"]["files"]["observations.parquet"][:HASH]),
        ("sha256 of the predictions", records["evaluate"]["files"]["predictions.parquet"][:HASH]),
    ]


def _image_network(records: Records) -> str:
    model, weights = (value_of(records, f"image_encoder.{part}") for part in ("model", "weights"))
    return f"{model}, {weights} weights, then {value_of(records, 'pretrain_img.method')}"


def _location_classifier(records: Records) -> str:
    mode = str(value_of(records, "finetune_loc.mode"))
    how = f"{mode}, {value_of(records, 'finetune_loc.loss')}" if mode == "full" else mode
    fusion = _in_force(records).get("finetune_loc.fusion.head", "none")  # older records have none
    return how if fusion == "none" else f"{how}; beside it the fusion {fusion}"


def package_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("cspops")
    except PackageNotFoundError:
        return "(sources that are not installed)"


def _in_force(records: Records) -> dict[str, Any]:
    return {
        key: value
        for record in records.values()
        for path, top in record["params"].items()
        for key, value in _flat(path, top).items()
    }


def _flat(path: str, value: Any) -> dict[str, Any]:
    """Return leaves by path; an empty section has none."""
    return {key: leaf for key, leaf in leaves(value, path).items() if not isinstance(leaf, Mapping)}


def _plain(value: Any) -> Any:
    """Return a value as stage.json holds it."""
    return json.loads(json.dumps(value.model_dump(mode="json") if isinstance(value, BaseModel) else value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
