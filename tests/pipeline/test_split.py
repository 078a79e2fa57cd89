"""The split stage on a small catalogue: files, hashes, what is said."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from told import told

from cspops.data.splits import read_choosing, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.host import Host
from cspops.params import load
from cspops.params.graph import SplitView
from cspops.pipeline import split
from cspops.site import Site

ROOT = Path(__file__).parents[2]
NUMBERS = range(120)
COLUMNS: dict[str, list[Any]] = {
    "obs_id": [f"o{119 - row}" for row in NUMBERS],
    "lon": [float(3 * row % 360 - 180) for row in NUMBERS],
    "lat": [float(row % 50) for row in NUMBERS],
    "label": [row % 4 for row in NUMBERS],
    "location_id": [f"place {row // 4}" for row in NUMBERS],
    "captured_at": [None for _ in NUMBERS],
    "official_split": [("train", "train", "val", "test")[row // 4 % 4] for row in NUMBERS],
}


def run(folder: Path, *, columns: dict[str, list[Any]] | None = None, **settings: Any) -> tuple[Path, list[str]]:
    """The folder that the stage writes, and what it says."""
    made, out = folder / "download", folder / "split"
    made.mkdir()
    out.mkdir()
    content = COLUMNS | (columns or {})
    types = {
        "label": pa.int32(),
        "captured_at": pa.timestamp("ms", "UTC"),
        "location_id": pa.string(),
        "official_split": pa.string(),
    }
    table = pa.table({name: pa.array(column, types.get(name)) for name, column in content.items()})
    pq.write_table(table, made / "observations.parquet")
    (made / "classes.json").write_text(json.dumps(["a", "b", "c", "d", "e"]))
    section = load(ROOT / "params.yaml").split.model_copy(update={"label_ratios": (0.2, 1.0)} | settings)
    said: list[str] = []
    with told(said.append):
        split.run(SplitView(seed=0, seeds=(0, 1), split=section), Site(folder, {"download": made}, folder, out, folder, Host()))
    return out, said


def test_roles_and_subsets_are_written_and_the_subsets_are_those_of_their_hashes(tmp_path: Path) -> None:
    out, said = run(tmp_path)
    assert sorted(file.name for file in out.iterdir()) == [
        "choosing.parquet",
        "few_shot.parquet",
        "roles.parquet",
        "subsets.json",
    ]
    obs_id = COLUMNS["obs_id"]
    train = read_roles(out, obs_id)["train"]
    assert train.tolist() == [role == "train" for role in COLUMNS["official_split"]]
    described = json.loads((out / "subsets.json").read_text())
    assert [(seed, list(ratios)) for seed, ratios in described.items()] == [
        (seed, ["label_20", "label_100"]) for seed in ("seed_0", "seed_1")
    ]
    for seed in (0, 1):
        for ratio, key in ((0.2, "label_20"), (1.0, "label_100")):
            chosen = read_few_shot(out, obs_id, seed=seed, ratio=ratio)
            ids = sorted(one for one, taken in zip(obs_id, chosen, strict=True) if taken)
            sha256 = hashlib.sha256("\n".join(ids).encode()).hexdigest()
            assert described[f"seed_{seed}"][key] == {"rows": len(ids), "classes": 4, "sha256": sha256}
    assert "label ratio 0.2: 12 labelled rows" in said  # 60 training rows of 4 classes: 3 of 15 each
    assert "1 of 5 classes have no labelled training row" in said


@pytest.mark.parametrize(("val_labels", "sizes"), [("all", [28, 28]), ("as_labels", [4, 28])])
def test_the_validation_rows_that_may_choose_are_written(tmp_path: Path, val_labels: str, sizes: list[int]) -> None:
    """28 rows, 7 of each of 4 classes, of which a fifth is 1.4."""
    out, said = run(tmp_path, val_labels=val_labels)
    obs_id = COLUMNS["obs_id"]
    read = {(seed, ratio): read_choosing(out, obs_id, seed=seed, ratio=ratio) for seed in (0, 1) for ratio in (0.2, 1.0)}
    assert [[int(read[seed, ratio]["val"].sum()) for ratio in (0.2, 1.0)] for seed in (0, 1)] == [sizes, sizes]
    assert not (read[0, 0.2]["val"] & ~read[0, 1.0]["val"]).any()
    assert read[0, 0.2]["val"].equal(read[1, 0.2]["val"]) == (val_labels == "all")
    assert any("labelled validation rows may choose" in line for line in said) == (val_labels == "as_labels")


@pytest.mark.parametrize("method", ["official", "random"])
@pytest.mark.parametrize("roles_given", [True, False])
def test_by_location_id_no_place_is_in_two_roles(tmp_path: Path, method: str, roles_given: bool) -> None:
    columns = {} if roles_given else {"official_split": [None] * 120}
    out, said = run(tmp_path, columns=columns, method=method, unit="location_id")
    roles = pq.read_table(out / "roles.parquet")["role"].to_pylist()
    assert len(set(zip(COLUMNS["location_id"], roles, strict=True))) == 30
    assert {"train", "val", "test"} <= set(roles)
    assert any("no split of its own" in line for line in said) == (method == "official" and not roles_given)


def test_a_place_in_two_roles_matters_only_by_location_id(tmp_path: Path) -> None:
    mixed = {"official_split": [("train", "val", "test")[row % 3] for row in NUMBERS]}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="30 of 30 places are in two official roles: place 0 "):
        run(tmp_path / "a", columns=mixed, unit="location_id")
    assert not list((tmp_path / "a/split").iterdir())
    run(tmp_path / "b", columns=mixed)


SHARED = "places have rows in train and in a held-out role (split.unit: location_id keeps them together)"


def test_places_that_are_trained_and_judged_on_are_counted(tmp_path: Path) -> None:
    """Thirty places of four rows, of six kinds: two are in train and in a held-out role. A place in train and buffer, or in
    val and test, does not count, and rows without an id are of no place."""
    kinds = [
        ["train"] * 4, ["val"] * 4, ["train", "val", "val", "train"], ["train", "train", "buffer", "train"],
        ["val", "test", "val", "test"], ["train", "train", "train", "spatial_test"],
    ]  # fmt: skip
    roles = [kinds[row // 4 % 6][row % 4] for row in NUMBERS]
    nowhere = [None if row // 4 < 6 else COLUMNS["location_id"][row] for row in NUMBERS]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    _, said = run(tmp_path / "a", columns={"official_split": roles})
    assert f"10 of 30 {SHARED}" in said
    _, said = run(tmp_path / "b", columns={"official_split": roles, "location_id": nowhere})
    assert f"8 of 24 {SHARED}" in said
    _, said = run(tmp_path / "c", columns={"official_split": roles, "location_id": [None] * 120})
    assert not any(SHARED in line for line in said)


@pytest.mark.parametrize("unit", ["observation", "location_id"])
def test_nothing_is_said_of_places_that_are_whole(tmp_path: Path, unit: str) -> None:
    _, said = run(tmp_path, unit=unit)
    assert not any("places" in line for line in said)


def test_the_same_catalogue_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    made = []
    for folder in folders:
        folder.mkdir()
        out, _ = run(folder, method="random", unit="location_id")
        made.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert made[0] == made[1]
