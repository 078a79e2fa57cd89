import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from cspops.data.few_shot import choosing_levels, describe_subsets, few_shot_levels
from cspops.data.splits import ratio_key
from cspops.seeds import numpy_stream

prop = settings(deadline=None, derandomize=True, max_examples=60)
RATIOS = (0.05, 0.1, 0.2, 1.0)

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


@prop
@given(labelled_sets, st.integers(0, 3))
def test_the_draw_is_one_permutation_a_class_in_the_order_of_the_classes(rows, seed):
    """The plain way, a scan of the whole set for each class: the subsets of runs that were made with it stay."""
    label, train = np.array([one for one, _ in rows]), np.array([two for _, two in rows])
    expected, stream = np.full(len(rows), np.nan, dtype=np.float32), numpy_stream(seed, "few-shot")
    for one in range(5):
        mine = np.flatnonzero(train & (label == one))
        if len(mine):
            mine = stream.permutation(mine)
            for ratio in (1.0, 0.25):
                expected[mine[: max(1, math.floor(len(mine) * ratio + 0.5))]] = ratio
    found = few_shot_levels(torch.from_numpy(label), torch.from_numpy(train), ratios=(0.25, 1.0), seed=seed)
    np.testing.assert_array_equal(found.numpy(), expected)


# --- description


def test_a_subset_is_described_by_the_hash_of_its_sorted_ids():
    """Code points: Z before a before ä."""
    ids, label = ["ä", "Z", "a", "b"], torch.tensor([0, 0, 2, -1])
    levels = {"seed_4": torch.tensor([0.5, 0.5, 1.0, float("nan")])}
    assert describe_subsets(ids, label, levels, ratios=(0.5, 1.0)) == {
        "seed_4": {
            "label_50": {"rows": 2, "classes": 1, "sha256": hashlib.sha256("Z\nä".encode()).hexdigest()},
            "label_100": {"rows": 3, "classes": 2, "sha256": hashlib.sha256("Z\na\nä".encode()).hexdigest()},
        }
    }


@prop
@given(labelled_sets, st.integers(0, 3))
def test_the_hash_does_not_depend_on_the_order_of_the_rows_and_tells_subsets_apart(rows, seed):
    label = torch.tensor([one for one, _ in rows])
    levels = few_shot_levels(label, torch.tensor([two for _, two in rows]), ratios=RATIOS, seed=seed)
    ids = [str(row) for row in range(len(rows))]
    back = torch.arange(len(rows)).flip(0)
    found = describe_subsets(ids, label, {"seed_0": levels}, ratios=RATIOS)
    assert describe_subsets(ids[::-1], label[back], {"seed_0": levels[back]}, ratios=RATIOS) == found
    chosen = {ratio: frozenset(np.flatnonzero(levels.numpy() <= np.float32(ratio))) for ratio in RATIOS}
    for a in RATIOS:
        for b in RATIOS:
            same = found["seed_0"][ratio_key(a)]["sha256"] == found["seed_0"][ratio_key(b)]["sha256"]
            assert same == (chosen[a] == chosen[b])


# --- validation rows that choose

ROLE_NAMES = ("train", "val", "spatial_val")
held_out_sets = st.lists(st.tuples(st.integers(-1, 3), st.sampled_from(ROLE_NAMES)), min_size=1, max_size=150)


@prop
@given(held_out_sets, st.integers(0, 3))
def test_as_many_validation_labels_choose_as_training_labels_are_lent(rows, seed):
    """Of each role by itself: nested, stratified, at least one row of a class that has one."""
    label = torch.tensor([one for one, _ in rows])
    roles = {name: torch.tensor([role == name for _, role in rows]) for name in ROLE_NAMES}
    level = choosing_levels(label, roles, ratios=RATIOS, seed=seed, val_labels="as_labels")
    assert level[roles["train"] | (label < 0)].isnan().all()
    before = torch.zeros(len(rows), dtype=torch.bool)
    for ratio, exact in zip(RATIOS, (Fraction(1, 20), Fraction(1, 10), Fraction(1, 5), Fraction(1)), strict=True):
        chosen = level <= np.float32(ratio)
        assert (chosen | ~before).all()
        before = chosen
        for role in ("val", "spatial_val"):
            for one in label[roles[role] & (label >= 0)].unique():
                mine = roles[role] & (label == one)
                assert int((chosen & mine).sum()) == max(1, math.floor(int(mine.sum()) * exact + Fraction(1, 2)))


@prop
@given(held_out_sets, st.sampled_from([RATIOS, (0.005,)]))
def test_without_a_budget_all_labelled_validation_rows_choose_at_every_ratio(rows, ratios):
    label = torch.tensor([one for one, _ in rows])
    roles = {name: torch.tensor([role == name for _, role in rows]) for name in ROLE_NAMES}
    level = choosing_levels(label, roles, ratios=ratios, seed=0, val_labels="all")
    assert (level <= np.float32(ratios[0])).equal(~roles["train"] & (label >= 0))


def test_the_choosing_rows_have_streams_of_their_own():
    """Were they drawn by the stream of the training rows, or both roles by one, the same places in the order would be drawn."""
    label, every = torch.zeros(400, dtype=torch.long), torch.ones(400, dtype=torch.bool)
    drawn = {}
    for seed in (0, 1):
        drawn["train", seed] = few_shot_levels(label, every, ratios=(0.1,), seed=seed)
        for role in ("val", "spatial_val"):
            roles = {"val": ~every, "spatial_val": ~every} | {role: every}
            drawn[role, seed] = choosing_levels(label, roles, ratios=(0.1,), seed=seed, val_labels="as_labels")
    assert len({tuple(level.isnan().tolist()) for level in drawn.values()}) == len(drawn) == 6
