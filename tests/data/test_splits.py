import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.data.few_shot import few_shot_levels
from cspops.data.splits import ROLES, ratio_key, read_choosing, read_few_shot, read_roles
from cspops.errors import DataError

prop = settings(deadline=None, derandomize=True, max_examples=60)
RATIOS = (0.05, 0.1, 0.2, 1.0)
IDS = [f"o{row}" for row in range(6)]
GOOD_ROLES = ["train", "val", "test", "spatial_val", "spatial_test", "buffer"]


def write_roles(folder, roles=GOOD_ROLES, ids=IDS):
    pq.write_table(pa.table({"obs_id": ids, "role": roles}), folder / "roles.parquet")


def test_roles_become_disjoint_masks_that_cover_all_rows(tmp_path):
    write_roles(tmp_path)
    masks = read_roles(tmp_path, IDS)
    assert list(masks) == list(ROLES)
    assert {name: mask.nonzero()[:, 0].tolist() for name, mask in masks.items()} == {
        "train": [0],
        "val": [1],
        "test": [2],
        "spatial_val": [3],
        "spatial_test": [4],
        "buffer": [5],
    }


@pytest.mark.parametrize(
    ("roles", "ids", "why"),
    [
        (GOOD_ROLES, IDS[::-1], "other observations"),
        (GOOD_ROLES[:5], IDS[:5], "other observations"),
        (["trian", *GOOD_ROLES[1:]], IDS, "a role that is not one of"),
        ([None, *GOOD_ROLES[1:]], IDS, "a role that is not one of"),
        (["val"] * 6, IDS, "no training row"),
    ],
)
def test_broken_roles_are_refused(tmp_path, roles, ids, why):
    write_roles(tmp_path, roles, ids)
    with pytest.raises(DataError, match=why):
        read_roles(tmp_path, IDS)


def write_few_shot(folder, levels, ids=IDS, name="few_shot"):
    columns = {name: pa.array(np.array(level, dtype=np.float32), from_pandas=True) for name, level in levels.items()}
    pq.write_table(pa.table({"obs_id": ids} | columns), folder / f"{name}.parquet")


def test_few_shot_rows_are_those_whose_level_is_at_most_the_ratio(tmp_path):
    """0.1 and 0.05 are not exact in float32: a comparison in float64 would lose the rows of the ratio itself."""
    nan = float("nan")
    write_few_shot(tmp_path, {"seed_0": [0.05, 0.1, nan, 1.0, 0.2, 0.1], "seed_3": [nan, nan, nan, nan, nan, 0.05]})
    read = {ratio: read_few_shot(tmp_path, IDS, seed=0, ratio=ratio).nonzero()[:, 0].tolist() for ratio in RATIOS}
    assert read == {0.05: [0], 0.1: [0, 1, 5], 0.2: [0, 1, 4, 5], 1.0: [0, 1, 3, 4, 5]}
    assert read_few_shot(tmp_path, IDS, seed=3, ratio=0.05).tolist() == [False] * 5 + [True]


def test_few_shot_rows_come_back_as_they_were_chosen(tmp_path):
    ids = [str(row) for row in range(400)]
    label, train = torch.arange(400) % 7 - 1, torch.arange(400) % 3 > 0
    levels = few_shot_levels(label, train, ratios=RATIOS, seed=2)
    write_few_shot(tmp_path, {"seed_2": levels.numpy()}, ids)
    everywhere = read_few_shot(tmp_path, ids, seed=2, ratio=1.0)
    assert everywhere.equal(train & (label >= 0))
    assert read_few_shot(tmp_path, ids, seed=2, ratio=0.05).equal(levels == np.float32(0.05))


def test_few_shot_rows_of_other_observations_or_none_are_refused(tmp_path):
    write_few_shot(tmp_path, {"seed_0": [0.2] * 6})
    with pytest.raises(DataError, match="other observations"):
        read_few_shot(tmp_path, IDS[::-1], seed=0, ratio=0.2)
    with pytest.raises(DataError, match=r"no labelled row for seed 0 at ratio 0\.1"):
        read_few_shot(tmp_path, IDS, seed=0, ratio=0.1)


def test_rows_that_may_choose_are_read_by_role(tmp_path):
    """0.1 and 0.05 as above. Whatever the file says, only the two roles of validation choose."""
    nan = float("nan")
    write_roles(tmp_path, ["train", "val", "val", "spatial_val", "test", "val"])
    write_few_shot(
        tmp_path, {"seed_0": [0.05, 0.05, 0.1, 0.05, 0.05, nan], "seed_1": [nan, nan, nan, nan, nan, 1]}, name="choosing"
    )
    read = {ratio: read_choosing(tmp_path, IDS, seed=0, ratio=ratio) for ratio in (0.05, 0.1)}
    rows = {ratio: {role: mask.nonzero()[:, 0].tolist() for role, mask in masks.items()} for ratio, masks in read.items()}
    assert rows == {0.05: {"val": [1], "spatial_val": [3]}, 0.1: {"val": [1, 2], "spatial_val": [3]}}
    assert not any(mask.any() for mask in read_choosing(tmp_path, IDS, seed=1, ratio=0.1).values())
    with pytest.raises(DataError, match="other observations"):
        read_choosing(tmp_path, IDS[::-1], seed=0, ratio=0.1)


# --- names


@pytest.mark.parametrize(
    ("ratio", "name"),
    [(0.05, "label_5"), (0.1, "label_10"), (1.0, "label_100"), (0.005, "label_0p5"), (0.07, "label_7"), (0.29, "label_29")],
)
def test_ratio_key(ratio, name):
    assert ratio_key(ratio) == name


@prop
@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=2, unique=True))
def test_other_ratios_have_other_names_without_dots(parts):
    names = [ratio_key(part / 10_000) for part in parts]
    assert names[0] != names[1]
    assert not any("." in name or "/" in name for name in names)
