import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from cspops.data.splits import ROLES, assign_roles, few_shot_levels, ratio_key, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.geo import blocks, haversine, near_blocks, uniform_on_sphere

prop = settings(deadline=None, derandomize=True, max_examples=60)
RATIOS = (0.05, 0.1, 0.2, 1.0)
DEGREES = 30.0


def world(n, missing=0, seed=0):
    """Positions all over the sphere, the first few of them missing."""
    lonlat = uniform_on_sphere(n, generator=torch.Generator().manual_seed(seed))
    lonlat[:missing] = float("nan")
    return lonlat


def roles_of(lonlat, *, seed=0, buffer_km=0.0, **shares):
    shares = {"val": 0.15, "test": 0.15, "spatial_val": 0.1, "spatial_test": 0.1} | shares
    return assign_roles(
        official=[None] * len(lonlat),
        lonlat=lonlat,
        method="random",
        block_degrees=DEGREES,
        buffer_km=buffer_km,
        seed=seed,
        **shares,
    )


# --- roles: official


def official(roles):
    return assign_roles(
        official=roles,
        lonlat=torch.zeros(len(roles), 2),
        method="official",
        val=0.5,
        test=0.4,
        spatial_val=0.1,
        spatial_test=0.1,
        block_degrees=10.0,
        buffer_km=500.0,
        seed=0,
    )


def test_the_official_split_is_taken_as_it_is():
    given_roles = ["test", "train", "spatial_test", "val", "spatial_val", "buffer", "train"]
    assert official(given_roles) == given_roles


@pytest.mark.parametrize("wrong", [None, "Train", "validation", ""])
def test_an_unknown_official_role_is_refused_by_row(wrong):
    with pytest.raises(DataError, match=rf"row 2 .*{wrong!r}") as caught:
        official(["train", "val", wrong, "test"])
    assert "random" in (caught.value.hint or "")


# --- roles: random


@prop
@given(
    n=st.integers(1, 300),
    missing=st.integers(0, 20),
    val=st.sampled_from([0.0, 0.1, 0.33]),
    test=st.sampled_from([0.0, 0.2, 0.5]),
    spatial_val=st.sampled_from([0.0, 0.07, 0.2]),
    spatial_test=st.sampled_from([0.0, 0.1, 0.25]),
    buffer_km=st.sampled_from([0.0, 300.0, 2000.0]),
    seed=st.integers(0, 5),
)
def test_random_roles(n, missing, val, test, spatial_val, spatial_test, buffer_km, seed):
    """Shares of the open rows are exact but for rounding; blocks are whole, closed to others, and below their shares;
    the buffer is what else is near them."""
    lonlat = world(n, min(missing, n))
    shares = {"val": val, "test": test, "spatial_val": spatial_val, "spatial_test": spatial_test}
    roles = np.array(roles_of(lonlat, buffer_km=buffer_km, seed=seed, **shares))
    assert len(roles) == n and set(roles) <= set(ROLES)

    spatial, buffer = np.isin(roles, ["spatial_val", "spatial_test"]), roles == "buffer"
    rest = n - spatial.sum() - buffer.sum()
    assert abs((roles == "val").sum() - val * rest) <= 0.5
    assert abs((roles == "test").sum() - test * rest) <= 0.5

    located = ~lonlat.isnan().any(1).numpy()
    assert not (spatial & ~located).any(), "a row without a position is in no block"
    cell = blocks(lonlat[torch.from_numpy(located)], DEGREES).numpy()
    kind = np.where(spatial, roles, "open")[located]  # of the buffer or not
    for one in np.unique(cell):
        assert len(set(kind[cell == one])) == 1, "a block holds rows of two kinds"

    # Each block held out has a row, so the rows tell which they are. No row of the rest is near any of their rows.
    cells = torch.from_numpy(np.unique(cell[spatial[located]]))
    near = near_blocks(lonlat[torch.from_numpy(located)], cells, DEGREES, km=buffer_km).numpy()
    assert (near == (spatial | buffer)[located]).all()
    assert not (buffer & ~located).any(), "a row without a position is near no block"
    others = lonlat[torch.from_numpy(located & ~spatial & ~buffer)]
    assert (haversine(others[:, None], lonlat[torch.from_numpy(spatial)]) >= buffer_km).all()

    # Whole blocks are taken while they fit, so that both shares together are missed by less than the largest block.
    assert spatial.sum() <= (spatial_val + spatial_test) * n + 1e-9
    assert (roles == "spatial_val").sum() <= spatial_val * n + 1e-9
    if spatial_val + spatial_test > 0 and located.any():
        largest = np.bincount(cell).max()
        assert spatial.sum() > (spatial_val + spatial_test) * n - largest - 1e-9
        assert (roles == "spatial_val").sum() > spatial_val * n - largest - 1e-9


def test_the_buffer_takes_rows_from_training_and_moves_no_block():
    lonlat = world(2000)
    without, narrow, wide = (np.array(roles_of(lonlat, buffer_km=km)) for km in (0.0, 300.0, 900.0))
    assert not (without == "buffer").any()
    assert 0 < (narrow == "buffer").sum() < (wide == "buffer").sum()
    assert ((wide == "buffer") | (narrow != "buffer")).all(), "a wider buffer holds the narrower one"
    for role in ("spatial_val", "spatial_test"):
        assert ((without == role) == (wide == role)).all()


def test_random_roles_repeat_by_seed_only():
    lonlat = world(200)
    assert roles_of(lonlat) == roles_of(lonlat)
    assert roles_of(lonlat) != roles_of(lonlat, seed=1)


def test_which_blocks_are_held_out_changes_with_the_seed():
    lonlat = world(500)
    held = {frozenset(row for row, role in enumerate(roles_of(lonlat, seed=seed)) if "spatial" in role) for seed in range(8)}
    assert len(held) == 8


def test_rows_without_any_position_are_still_divided():
    roles = roles_of(torch.full((40, 2), float("nan")), val=0.25, test=0.25)
    assert {role: roles.count(role) for role in set(roles)} == {"train": 20, "val": 10, "test": 10}


def test_every_row_is_equally_likely_to_be_validation():
    """600 splits of 40 rows, 10 of them val. Each row's count has mean 150 and, drawn without replacement, variance
    600 (1/4)(3/4); the scaled sum of squares is chi-square with 39 degrees of freedom times 40/39.

    A right split fails at one choice of the seeds in 10^4; they are fixed.
    """
    lonlat = world(40)
    counts = np.zeros(40)
    for seed in range(600):
        counts += np.array(roles_of(lonlat, val=0.25, test=0.1, spatial_val=0.0, spatial_test=0.0, seed=seed)) == "val"
    statistic = ((counts - 150) ** 2).sum() / (600 * 0.25 * 0.75) * 39 / 40
    assert chi2.sf(statistic, 39) > 1e-4


# --- few-shot subsets


labelled_sets = st.lists(st.tuples(st.integers(-1, 4), st.booleans()), min_size=1, max_size=150)


@prop
@given(labelled_sets, st.integers(0, 3))
def test_few_shot_subsets_are_stratified_and_nested(rows, seed):
    label = torch.tensor([one for one, _ in rows])
    train = torch.tensor([two for _, two in rows])
    level = few_shot_levels(label, train, ratios=RATIOS, seed=seed)
    can_lend = train & (label >= 0)
    assert level[~can_lend].isnan().all(), "a row lends a label that it must not or does not have"
    assert not level[can_lend].isnan().any(), "at ratio 1 every labelled training row lends its label"
    before = torch.zeros(len(rows), dtype=torch.bool)
    for ratio, exact in zip(RATIOS, (Fraction(1, 20), Fraction(1, 10), Fraction(1, 5), Fraction(1)), strict=True):
        chosen = level <= np.float32(ratio)
        assert (chosen | ~before).all(), "a larger ratio lost a row of a smaller one"
        before = chosen
        for one in label[can_lend].unique():
            m = int((can_lend & (label == one)).sum())
            assert int((chosen & (label == one)).sum()) == max(1, math.floor(m * exact + Fraction(1, 2)))


@pytest.mark.parametrize(
    ("m", "ratio", "expected"), [(30, 0.05, 2), (10, 0.25, 3), (9, 0.05, 1), (29, 0.05, 1), (90, 0.35, 32), (50, 0.29, 15)]
)
def test_halves_are_rounded_up(m, ratio, expected):
    """Every product but 0.45 and 1.45 is a half as printed, if not in binary: 0.35 x 90 is 31.5, floats say a hair less."""
    level = few_shot_levels(torch.zeros(m, dtype=torch.long), torch.ones(m, dtype=torch.bool), ratios=(ratio,), seed=0)
    assert int((~level.isnan()).sum()) == expected


def test_the_rows_of_a_ratio_do_not_depend_on_the_other_ratios():
    label = torch.arange(300) % 3
    train = torch.ones(300, dtype=torch.bool)
    many = few_shot_levels(label, train, ratios=RATIOS, seed=0) <= np.float32(0.1)
    assert many.equal(~few_shot_levels(label, train, ratios=(0.1,), seed=0).isnan())


def test_labels_of_rows_held_out_do_not_steer_the_choice():
    train = torch.arange(300) % 2 == 0
    label = torch.arange(300) % 3
    other = torch.where(train, label, (label + 1) % 3)
    levels = [few_shot_levels(one, train, ratios=RATIOS, seed=0) for one in (label, other)]
    torch.testing.assert_close(levels[0], levels[1], rtol=0, atol=0, equal_nan=True)


def test_every_row_of_a_class_is_equally_likely_to_lend_its_label():
    """500 seeds choose 5 of 20 rows: mean 125 each; as for the validation rows above, 19 degrees of freedom."""
    label, train = torch.zeros(20, dtype=torch.long), torch.ones(20, dtype=torch.bool)
    counts = sum(~few_shot_levels(label, train, ratios=(0.25,), seed=seed).isnan() for seed in range(500)).numpy()
    assert counts.sum() == 2500
    assert chi2.sf(((counts - 125) ** 2).sum() / (500 * 0.25 * 0.75) * 19 / 20, 19) > 1e-4


def test_few_shot_subsets_repeat_by_seed_only():
    label, train = torch.arange(200) % 4, torch.ones(200, dtype=torch.bool)
    one, same, other = (few_shot_levels(label, train, ratios=RATIOS, seed=seed) for seed in (0, 0, 1))
    assert one.equal(same) and not one.equal(other)


# --- reading


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


def write_few_shot(folder, levels, ids=IDS):
    columns = {name: pa.array(np.array(level, dtype=np.float32), from_pandas=True) for name, level in levels.items()}
    pq.write_table(pa.table({"obs_id": ids} | columns), folder / "few_shot.parquet")


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
