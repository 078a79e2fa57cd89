import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from told import told

from cspops.data.roles import MOST_BUFFER, assign_roles
from cspops.data.splits import ROLES
from cspops.errors import DataError
from cspops.geo import blocks, haversine, near_blocks, uniform_on_sphere
from cspops.params.sections import Split
from cspops.seeds import numpy_stream

prop = settings(deadline=None, derandomize=True, max_examples=60)
DEGREES = 30.0
SPLIT = Split(
    method="official",
    unit="observation",
    label_ratios=(1.0,),
    val_labels="all",
    val=0.15,
    test=0.15,
    spatial_val=0.1,
    spatial_test=0.1,
    block_degrees=10.0,
    buffer_km=500.0,
)


def world(n, missing=0, seed=0):
    """Positions all over the sphere, the first few of them missing."""
    lonlat = uniform_on_sphere(n, generator=torch.Generator().manual_seed(seed))
    lonlat[:missing] = float("nan")
    return lonlat


def roles_of(lonlat, *, seed=0, buffer_km=0.0, labelled=None, places=None, **shares):
    shares = {"val": 0.15, "test": 0.15, "spatial_val": 0.1, "spatial_test": 0.1} | shares
    return assign_roles(
        SPLIT.model_copy(update={"method": "random", "block_degrees": DEGREES, "buffer_km": buffer_km} | shares),
        official=[None] * len(lonlat),
        labelled=torch.ones(len(lonlat), dtype=torch.bool) if labelled is None else labelled,
        lonlat=lonlat,
        location_id=None if places is None else pa.array(places, pa.string()),
        seed=seed,
    )


# --- roles: official


def official(roles, *, labelled=None, places=None):
    return assign_roles(
        SPLIT.model_copy(update={"val": 0.5, "test": 0.4}),
        official=roles,
        labelled=torch.ones(len(roles), dtype=torch.bool) if labelled is None else torch.tensor(labelled),
        lonlat=torch.zeros(len(roles), 2),
        location_id=None if places is None else pa.array(places, pa.string()),
        seed=0,
    )


def test_the_official_split_is_taken_as_it_is():
    given_roles = ["test", "train", "spatial_test", "val", "spatial_val", "buffer", "train"]
    assert official(given_roles) == given_roles


@pytest.mark.parametrize("wrong", [None, "Train", "validation", ""])
def test_an_unknown_official_role_is_refused_by_row(wrong):
    with pytest.raises(DataError, match=rf"row 2 .*{wrong!r}") as caught:
        official(["train", "val", wrong, "test"])
    assert (caught.value.hint or "").startswith("give them a role in the table's split column, or set split.method to random")


def test_unlabelled_rows_without_a_role_train(said):
    """A labelled one is refused, a role that is none too; those with a role keep it."""
    given_roles = [None, "train", "val", None, "test", "test"]
    labelled = [False, True, True, False, True, False]
    assert official(given_roles, labelled=labelled) == ["train", "train", "val", "train", "test", "test"]
    assert said == ["2 unlabelled rows without an official split are trained on without labels"]
    with pytest.raises(DataError, match=r"(?m)row 0 of .* split None, not one of .*buffer$"):
        official(given_roles, labelled=[True, *labelled[1:]])
    with pytest.raises(DataError, match=r"row 3 of .* split 'tset'"):
        official([*given_roles[:3], "tset", *given_roles[4:]], labelled=labelled)


def test_a_place_may_not_be_in_two_roles_by_a_row_without_one():
    """The blank row trains, so place t would be in train and test."""
    roles, labelled = ["train", "val", "test", None], [True, True, True, False]
    with pytest.raises(DataError, match=r"^1 of 3 places are in two official roles: t \(test, train\)"):
        official(roles, labelled=labelled, places=["a", "b", "t", "t"])


def test_a_source_without_any_role_is_divided_at_random_and_says_so(said):
    roles = official([None] * 20)
    assert set(roles) == {"train", "val", "test"}
    assert said[0] == "the source has no split of its own: roles are drawn as with split.method: random"


def test_without_an_official_val_a_share_of_the_labelled_training_rows_becomes_val(said):
    """val 0.5 of 8 labelled training rows; the unlabelled ones and test stay."""
    given_roles, labelled = ["train"] * 10 + ["test"] * 5, [True] * 8 + [False] * 2 + [True] * 5
    roles = official(given_roles, labelled=labelled)
    assert roles[:8].count("val") == roles[:8].count("train") == 4
    assert roles[8:] == given_roles[8:]
    assert said == ["the source's split has no val: 4 of its training rows are taken (split.val)"]
    assert official(given_roles, labelled=labelled) == roles


def test_val_is_taken_from_an_official_train_by_whole_places():
    """Four places of three rows, val 0.5 of 12 rows: two of them, whole."""
    places = [f"p{row % 4}" for row in range(12)] + ["t"]
    roles = official(["train"] * 12 + ["test"], places=places)
    by_place = {place: {role for role, at in zip(roles, places, strict=True) if at == place} for place in places}
    assert sorted(by_place.values(), key=str) == sorted([{"train"}, {"train"}, {"val"}, {"val"}, {"test"}], key=str)


def test_a_place_in_two_official_roles_is_refused_by_name():
    """b, c, d and e are; a is in one; rows without an id are places of their own. 7 places in all."""
    places = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e", None, None]
    roles = ["train", "train", "train", "test", "val", "train", "test", "val", "train", "test", "train", "val"]
    with pytest.raises(DataError, match=r"^4 of 7 places are in two official roles: ") as caught:
        official(roles, places=places)
    assert caught.value.message.endswith(": b (train, test), c (val, train), d (test, val) ...")
    assert "split.method to random, or split.unit to observation" in (caught.value.hint or "")
    assert official(roles) == roles


@pytest.mark.parametrize(
    ("roles", "labelled", "says"),
    [
        (["train", "val", "val"], [True] * 3, "the source's split has no labelled test row, which is what the metrics are of"),
        (["train", "val", "spatial_test"], [True] * 3, "the source's split has no labelled test row"),
        (["train", "val", "test"], [True, True, False], "the source's split has no labelled test row"),
        (["val", "test", "test"], [True] * 3, "the source's split has no labelled train row"),
        (["train", "val", "test"], [True, False, True], "the source's split has no labelled val row"),
        (["train", "test", "test"], [True] * 3, "the source's split has no labelled val row"),  # one row cannot be both
        (["train", "val", "test"], [False] * 3, "no observation has a label"),
        ([None, None, None], [True, True, False], "of 2 labelled rows, split leaves no labelled val row"),
    ],
)
def test_a_split_that_lacks_a_role_is_refused_with_the_remedy(roles, labelled, says):
    with pytest.raises(DataError) as caught:
        official(roles, labelled=labelled)
    assert caught.value.message.startswith(says)
    assert caught.value.hint


# --- roles: random


@prop
@given(
    n=st.integers(3, 300),
    missing=st.integers(0, 20),
    val=st.sampled_from([0.05, 0.1, 0.33]),
    test=st.sampled_from([0.05, 0.2, 0.5]),
    spatial_val=st.sampled_from([0.0, 0.07, 0.2]),
    spatial_test=st.sampled_from([0.0, 0.1, 0.25]),
    buffer_km=st.sampled_from([0.0, 300.0, 2000.0]),
    seed=st.integers(0, 5),
)
def test_random_roles(n, missing, val, test, spatial_val, spatial_test, buffer_km, seed):
    """Shares of the open rows are exact but for rounding, one row at least; blocks are whole, closed to others, and below
    their shares; the buffer is what else is near them; none is held out where the buffer is too large."""
    lonlat = world(n, min(missing, n))
    shares = {"val": val, "test": test, "spatial_val": spatial_val, "spatial_test": spatial_test}
    said = []
    with told(said.append):
        roles = np.array(roles_of(lonlat, buffer_km=buffer_km, seed=seed, **shares))
    assert len(roles) == n and set(roles) <= set(ROLES)
    if said:
        assert len(said) == 1 and said[0].startswith("no block is held out: ")
        assert not np.isin(roles, ["spatial_val", "spatial_test", "buffer"]).any()

    spatial, buffer = np.isin(roles, ["spatial_val", "spatial_test"]), roles == "buffer"
    rest = n - spatial.sum() - buffer.sum()
    counts = {role: (roles == role).sum() for role in ("train", "val", "test")}
    assert min(counts.values()) >= 1
    for role, share in (("val", val), ("test", test)):
        assert abs(counts[role] - share * rest) <= 0.5 or counts[role] == 1 or counts["train"] == 1
    assert (roles == "buffer").sum() <= MOST_BUFFER * (n - spatial.sum())

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
    if not said and spatial.sum() < located.sum():  # else every block is taken, or none was asked for
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


def test_rows_without_a_label_train_and_do_not_count_for_the_shares():
    labelled = torch.arange(60) % 3 > 0
    roles = np.array(roles_of(world(60), labelled=labelled, spatial_val=0.0, spatial_test=0.0, val=0.25, test=0.1))
    assert set(roles[~labelled.numpy()]) == {"train"}
    assert [(roles[labelled.numpy()] == role).sum() for role in ("val", "test", "train")] == [10, 4, 26]


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_of_few_rows_every_role_has_one(n):
    for seed in range(5):
        roles = roles_of(world(n), val=0.45, test=0.45, seed=seed)
        assert min(roles.count(role) for role in ("train", "val", "test")) >= 1


def test_no_block_is_held_out_that_would_leave_fewer_than_three_rows():
    """Rows in blocks of their own: one of three fits a share of 0.4 and would leave two, of four it leaves three."""
    for n, held in ((3, 0), (4, 1)):
        lonlat = torch.tensor([[float(60 * row), 10.0] for row in range(n)])
        roles = roles_of(lonlat, spatial_val=0.0, spatial_test=0.4)
        assert roles.count("spatial_test") == held
        assert {"train", "val", "test"} <= set(roles)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_rows_than_roles_are_refused(n):
    with pytest.raises(DataError, match=r"no labelled (val|test) row|no observation has a label"):
        roles_of(world(n))


def test_a_hundred_rows_of_one_country_keep_their_training_rows_at_the_default_shares(said):
    """Positions in 6E..10E, 46N..48N with two 5-degree blocks, 3 rows in the western: that block fits in the shares, and
    the buffer of 240 km around it holds nearly all others. Held out, it would leave next to nothing."""
    x = torch.linspace(0, 1, 97)
    lonlat = torch.stack((torch.cat((torch.full((3,), 4.9), 5.1 + 2 * x)), torch.cat((torch.full((3,), 47.0), 46 + 2 * x))), 1)
    arguments = {
        "official": [None] * 100,
        "labelled": torch.ones(100, dtype=torch.bool),
        "lonlat": lonlat,
        "location_id": None,
    }
    shares = {"spatial_val": 0.04, "spatial_test": 0.04, "block_degrees": 5.0}
    split = SPLIT.model_copy(update={"method": "random", "buffer_km": 240.0} | shares)
    by_seed = [assign_roles(split, **arguments, seed=seed) for seed in range(4)]
    for roles in by_seed:
        assert {role: roles.count(role) for role in ROLES if role in roles} == {"train": 70, "val": 15, "test": 15}
    took = "no block is held out: the buffer would take 97 of the other 97 labelled rows (split.block_degrees, split.buffer_km)"
    fits_not = "no block is held out: the first of 2 has too many rows (split.block_degrees, split.spatial_*)"
    assert set(said) == {took, fits_not}  # by which block comes first
    without_buffer = split.model_copy(update={"buffer_km": 0.0})
    held = [assign_roles(without_buffer, **arguments, seed=seed) for seed in range(4)]
    assert {sum(role.startswith("spatial") for role in roles) for roles in held} == {0, 3}


# --- roles: by place


def test_a_place_of_its_own_for_each_row_changes_nothing(said):
    lonlat = world(400, missing=30)
    for buffer_km in (0.0, 600.0):
        with_ids = roles_of(lonlat, buffer_km=buffer_km, places=[f"p{row}" for row in range(400)])
        assert with_ids == roles_of(lonlat, buffer_km=buffer_km)
        said.clear()
        assert roles_of(lonlat, buffer_km=buffer_km, places=[None] * 400) == with_ids
        assert said[0].startswith("no row has a location_id")


place_lists = st.lists(st.one_of(st.none(), st.integers(0, 12).map(str)), min_size=20, max_size=120)


@prop
@given(place_lists, st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 500.0]), st.integers(0, 5))
def test_no_place_is_in_two_roles(places, spatial, buffer_km, seed):
    """Nor is a training row nearer than the buffer to a block that holds most rows of a place held out."""
    lonlat = world(len(places), missing=3, seed=seed)
    labelled = torch.arange(len(places)) % 5 > 0
    ids = [one or f"alone {row}" for row, one in enumerate(places)]
    try:
        roles = roles_of(
            lonlat, labelled=labelled, places=places, buffer_km=buffer_km, spatial_val=spatial, spatial_test=spatial, seed=seed
        )
    except DataError:
        assert len({one for one, has in zip(ids, labelled, strict=True) if has}) < 3
        return
    role_of = {}
    for one, role in zip(ids, roles, strict=True):
        assert role_of.setdefault(one, role) == role
    homes = []
    for one, role in role_of.items():
        rows = [row for row, other in enumerate(ids) if other == one and not lonlat[row].isnan().any()]
        if role.startswith("spatial"):
            cells = blocks(lonlat[rows], DEGREES).tolist()
            homes.append(max(cells, key=lambda cell: (cells.count(cell), -cells.index(cell))))
    free = torch.tensor([role in ("train", "val", "test") for role in roles]) & ~lonlat.isnan().any(1)
    if homes:
        assert not near_blocks(lonlat[free], torch.tensor(homes), DEGREES, km=buffer_km).any()


def test_a_place_lies_where_most_of_its_rows_are_and_of_two_blocks_in_the_earlier_rows():
    """Three blocks: W (rows of p and half of q), E (the other half of q, one row of p), and far away f with most rows.

    f cannot be held out at a share of 0.3; W can and takes p and q whole, E has no place of its own.
    """
    west, east, far = [-100.0, 10.0], [10.0, 10.0], [100.0, -40.0]
    lonlat = torch.tensor([west, west, east, west, east, *[far] * 20])
    places = ["p", "p", "p", "q", "q", *(f"f{row}" for row in range(20))]
    held = set()
    for seed in range(6):
        roles = roles_of(lonlat, places=places, spatial_val=0.0, spatial_test=0.3, seed=seed)
        held.add(frozenset(row for row, role in enumerate(roles) if role == "spatial_test"))
    assert held == {frozenset(range(5)), frozenset()}  # by which block comes first


def test_a_drawn_place_belongs_to_the_share_that_its_middle_row_falls_in():
    """Ten places of 10 rows, val 0.26 and test 0.2 of 100 rows: middles 5, 15, 25 lie below 26, then 35 and 45 below 46."""
    places = [f"p{row // 10}" for row in range(100)]
    roles = np.array(roles_of(world(100), places=places, val=0.26, test=0.2, spatial_val=0.0, spatial_test=0.0))
    assert [(roles == role).sum() for role in ("val", "test", "train")] == [30, 20, 50]


def test_large_places_still_fill_every_role():
    """Three places, of 80, 10 and 10 rows: whichever comes first, each role has one."""
    places = ["a"] * 80 + ["b"] * 10 + ["c"] * 10
    for seed in range(6):
        roles = roles_of(world(100), places=places, spatial_val=0.0, spatial_test=0.0, seed=seed)
        assert {roles[0], roles[80], roles[90]} == {"train", "val", "test"}


def test_two_places_cannot_be_divided_and_the_remedy_is_the_unit():
    with pytest.raises(DataError, match=r"of 40 labelled rows, split leaves no labelled (val|test) row") as caught:
        roles_of(world(40), places=["a"] * 30 + ["b"] * 10)
    assert "split.unit to observation" in (caught.value.hint or "")


def test_the_draw_is_that_of_one_scan_a_block():
    """The plain way, a row and a block at a time: the roles of runs that were made with it stay."""
    lonlat, n = world(500, missing=20), 500
    located = np.flatnonzero(~lonlat.isnan().any(1).numpy())
    cell = np.full(n, -1)
    cell[located] = blocks(lonlat[torch.from_numpy(located)], DEGREES).numpy()
    expected, reached = np.full(n, "train", dtype=object), 0
    for one in numpy_stream(7, "split", "blocks").permutation(np.unique(cell[located])):
        reached += (cell == one).sum()
        if reached / n <= 0.2:
            expected[cell == one] = "spatial_val" if reached / n <= 0.08 else "spatial_test"
    rest = numpy_stream(7, "split", "random").permutation(np.flatnonzero(expected == "train"))
    n_val, n_test = round(0.2 * len(rest)), round(0.3 * len(rest))
    expected[rest[:n_val]], expected[rest[n_val : n_val + n_test]] = "val", "test"
    assert roles_of(lonlat, val=0.2, test=0.3, spatial_val=0.08, spatial_test=0.12, seed=7) == expected.tolist()
