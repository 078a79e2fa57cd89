import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.intake.rows import batch
from cspops.intake.sources.sidecar import AMBIGUOUS, NAMED_TWICE, NO_NAME, NOT_LOOKED_AT, NOT_THERE, attach


def rows(*names, lon=None):
    given = {"where": [f"t.csv:{line}" for line in range(2, 2 + len(names))], "image": [{"path": name} for name in names]}
    return batch(given | ({} if lon is None else {"lon": lon, "lat": lon}))


def joined(names, images, *, folder="", there=()):
    return attach([rows(*names)], images, folder=folder, exists=lambda path: path in there)


# Names of the side-car, images, what is found (row: image), what is lost (row: reason), found by name alone.
CASES = {
    "by path": (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"], {0: "a/1.jpg", 1: "b/1.jpg"}, {}, set()),
    "by an untidy path": ([" ./a//1.jpg "], ["a/1.jpg"], {0: "a/1.jpg"}, {}, set()),
    "by name": (["1.jpg"], ["a/1.jpg", "a/2.jpg"], {0: "a/1.jpg"}, {}, set()),
    "by the name in another path": (["x/1.jpg"], ["a/1.jpg"], {0: "a/1.jpg"}, {}, {0}),
    "by an absolute path's name": (["/home/me/1.jpg"], ["a/1.jpg"], {0: "a/1.jpg"}, {}, {0}),
    "by a name in other case": (["IMG_1.JPG"], ["a/img_1.jpg"], {0: "a/img_1.jpg"}, {}, set()),
    "by stem": (["1", "2"], ["a/1.jpg", "b/2.png"], {0: "a/1.jpg", 1: "b/2.png"}, {}, set()),
    "by path without suffix": (["a/1", "b/1"], ["a/1.jpg", "b/1.jpg"], {0: "a/1.jpg", 1: "b/1.jpg"}, {}, set()),
    "by a stem with a dot": (["IMG.1"], ["a/IMG.1.jpg"], {0: "a/IMG.1.jpg"}, {}, set()),
    "no stem beside a suffix": (["1.png"], ["a/1.jpg"], {}, {0: NOT_THERE}, set()),
    "two rows, one image": (
        ["a/1.jpg", "1.jpg", "a/1.jpg"],
        ["a/1.jpg"],
        {0: "a/1.jpg", 2: "a/1.jpg"},
        {1: NAMED_TWICE},
        set(),
    ),
    "a spelling of a path": (["1.jpg", "1.JPG"], ["1.jpg"], {0: "1.jpg"}, {1: NAMED_TWICE}, set()),
    "spellings of a name": (
        ["1.JPG", "1.jpg", "1", "1.JPG"],
        ["a/1.jpg"],
        {0: "a/1.jpg", 3: "a/1.jpg"},
        {1: NAMED_TWICE, 2: NAMED_TWICE},
        set(),
    ),
    "spellings of a folder": (
        ["X/1.jpg", "x/1.jpg", "1.jpg"],
        ["a/1.jpg"],
        {0: "a/1.jpg"},
        {1: NAMED_TWICE, 2: NAMED_TWICE},
        {0},
    ),
    "two rows, one name": (["1.jpg", "1.jpg"], ["a/1.jpg"], {0: "a/1.jpg", 1: "a/1.jpg"}, {}, set()),
    "a path beats a name": (["b/1.jpg", "1.jpg"], ["a/1.jpg", "b/1.jpg"], {0: "b/1.jpg", 1: "a/1.jpg"}, {}, set()),
    "a name of two images": (["1.jpg"], ["a/1.jpg", "b/1.jpg"], {}, {0: AMBIGUOUS}, set()),
    "a stem of two images": (["1"], ["a/1.jpg", "a/1.png"], {}, {0: AMBIGUOUS}, set()),
    "two paths, one name": (["x/1.jpg", "y/1.jpg"], ["a/1.jpg"], {}, {0: NAMED_TWICE, 1: NAMED_TWICE}, set()),
    "not there": (["9.jpg"], ["a/1.jpg"], {}, {0: NOT_THERE}, set()),
    "no name": ([None, "", "  "], ["a/1.jpg"], {}, {0: NO_NAME, 1: NO_NAME, 2: NO_NAME}, set()),
    "an address": (["https://x.org/1.jpg"], ["a/2.jpg"], {}, {0: NOT_THERE}, set()),
    "no rows": ([], ["a/1.jpg"], {}, {}, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_which_row_speaks_of_which_image(case):
    names, images, found, lost, by_name = CASES[case]
    made = joined(names, images)
    assert {row: image for image, of_it in made.of_image.items() for row in of_it} == found
    assert (made.lost, made.by_name) == (lost, by_name)


def test_paths_below_the_side_cars_own_folder_or_the_root():
    images = ["img/1.jpg", "img/2.jpg", "other/2.jpg", "set/img/1.jpg"]
    made = joined(["img/1.jpg", "../other/2.jpg", "img/2.jpg"], images, folder="set")
    assert made.of_image == {"set/img/1.jpg": [0], "other/2.jpg": [1], "img/2.jpg": [2]}
    assert made.by_name == set()


def test_unicode_forms_do_not_matter():
    composed, apart = (unicodedata.normalize(form, "Bäume/Fluß_é.jpg") for form in ("NFC", "NFD"))
    assert joined([composed], [apart]).of_image == {apart: [0]}
    assert joined([apart], [composed]).of_image == {composed: [0]}
    assert joined([apart.split("/")[1]], [composed]).of_image == {composed: [0]}


def test_images_that_the_pattern_leaves_out_are_told_from_those_that_are_not_there():
    names = ["b/2.jpg", "c/3.jpg", "../out.jpg", "a/1.jpg", "1.jpg"]
    made = joined(names, ["a/1.jpg"], there={"b/2.jpg", "../out.jpg", "1.jpg"})
    assert made.lost == {0: NOT_LOOKED_AT, 1: NOT_THERE, 2: NOT_THERE, 4: NOT_LOOKED_AT}


def test_numbers_and_text_become_one_kind():
    # Python's repr and Arrow's text of a float64 are both the shortest that reads back as the same number.
    number = 11.885126666663888
    made = attach([rows("1.jpg", lon=[number]), rows("2.jpg", lon=["11,5"])], [], folder="", exists=lambda path: False)
    assert made.rows["lon"].to_pylist() == [repr(number), "11,5"]
    made = attach([rows("1.jpg", lon=[number])], [], folder="", exists=lambda path: False)
    assert made.rows["lon"].type == pa.float64()


PATHS = st.lists(st.tuples(st.sampled_from(["", "a/", "b/"]), st.sampled_from("123"), st.sampled_from([".jpg", ".png", ""])))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(PATHS, PATHS, st.randoms(use_true_random=False))
def test_every_row_is_found_once_or_lost_and_the_images_order_does_not_matter(names, images, random):
    images = sorted({"".join(parts[:2]) + (parts[2] or ".jpg") for parts in images})
    names = ["".join(parts) for parts in names]
    made = joined(names, images)
    found = [row for of_it in made.of_image.values() for row in of_it]
    assert sorted([*found, *made.lost]) == list(range(len(names)))
    assert set(made.of_image) <= set(images)
    shuffled = list(images)
    random.shuffle(shuffled)
    again = joined(names, shuffled)
    assert (again.of_image, again.lost) == (made.of_image, made.lost)
