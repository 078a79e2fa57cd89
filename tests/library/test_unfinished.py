"""A second start predicts what the first one did not, and whatever has changed since."""

import dataclasses
import os

import pytest
import torch
from filelock import FileLock
from location_runs import CLASSES, PLACES, POOL, make_classifier

from cspops.errors import EnvironmentProblem
from cspops.files import LOCK
from cspops.library.inputs import Input
from cspops.library.model import Model
from cspops.library.unfinished import kept_rows, key_of

NAN = float("nan")


@pytest.fixture
def inputs(tmp_path):
    for name in ("a", "b", "d"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    return [
        Input("a", tmp_path / "a.jpg", 8.5, 47.4, "file"),
        Input("b\udcff", tmp_path / "b.jpg", NAN, NAN, "none", "no position is given"),
        Input("c", b"bytes", 8.5, 47.4, "table", obs_id="c"),
        Input("d", tmp_path / "d.jpg", 8.5, 47.4, "file"),
        Input("e", tmp_path / "e.jpg", NAN, NAN, "none", error="no such file"),
    ]


def start(out, inputs, key="key", *, until=None):
    """Return all rows, and which of them were predicted; the start breaks off after ``until`` of these."""
    predicted = []

    def predict(rows):
        for row in rows:
            if len(predicted) == until:
                raise KeyboardInterrupt
            predicted.append(row.where)
            yield {"where": row.where, "p": 1 / 3, "none": None}

    with kept_rows(out, key) as kept:
        rows = list(kept.continued(iter(inputs), predict))
    return [row["where"] for row in rows], predicted


def break_off(out, inputs, until):
    with pytest.raises(KeyboardInterrupt):
        start(out, inputs, until=until)


@pytest.mark.parametrize("until", [1, 3, 5])
def test_the_rows_before_the_end_are_taken_over(tmp_path, inputs, until):
    out, names = tmp_path / "p.csv", [one.where for one in inputs]
    break_off(out, [*inputs, inputs[0]], until)
    assert start(out, inputs) == (names, names[until:])
    assert start(out, inputs) == (names, names)
    assert not (tmp_path / ".p.csv.part").exists()


def test_broken_off_twice(tmp_path, inputs):
    out, names = tmp_path / "p.csv", [one.where for one in inputs]
    for until in (2, 1):
        break_off(out, inputs, until)
    assert start(out, inputs) == (names, names[3:])


def test_nothing_is_kept_of_a_start_without_rows(tmp_path, inputs):
    break_off(tmp_path / "p.csv", inputs, 0)
    assert not (tmp_path / ".p.csv.part").exists()


def touched(inputs):
    os.utime(inputs[1].image, ns=(1, 1))


def rewritten(inputs):
    inputs[1].image.write_bytes(b"longer")


def deleted(inputs):
    inputs[1].image.unlink()


def moved(inputs):
    inputs[1] = dataclasses.replace(inputs[1], lon=1.0, lat=2.0)


def other_bytes(inputs):
    inputs[2] = dataclasses.replace(inputs[2], image=b"other")


def inserted(inputs):
    inputs.insert(1, dataclasses.replace(inputs[0], where="new"))


def removed(inputs):
    del inputs[1]


def appeared(inputs):
    inputs[4].image.write_bytes(b"e")


@pytest.mark.parametrize(
    ("change", "first"),
    [(touched, 1), (rewritten, 1), (deleted, 1), (moved, 1), (other_bytes, 2), (inserted, 1), (removed, 1), (appeared, 4)],
)
def test_from_the_first_change_on_all_is_predicted_anew(tmp_path, inputs, change, first):
    break_off(tmp_path / "p.csv", [*inputs, inputs[0]], 5)
    change(inputs)
    names = [one.where for one in inputs]
    assert start(tmp_path / "p.csv", inputs) == (names, names[first:])


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda text: text[:-1], 2),
        (lambda text: text[:-20] + b"\0" * 20, 2),
        (lambda text: text[:-20] + b"\n", 2),
        (lambda text: text[:30], 0),
        (lambda text: b"", 0),
        (lambda text: b"\xff" * 100, 0),
        (lambda text: text + b"\xff\n", 3),
    ],
)
def test_what_is_kept_may_be_cut_or_damaged(tmp_path, inputs, change, kept):
    out, names = tmp_path / "p.csv", [one.where for one in inputs]
    break_off(out, inputs, 3)
    rows = tmp_path / ".p.csv.part" / "rows"
    rows.write_bytes(change(rows.read_bytes()))
    break_off(out, inputs, 1)
    assert start(out, inputs) == (names, names[kept + 1 :])


def test_two_processes_do_not_write_one_file(tmp_path, inputs):
    break_off(tmp_path / "p.csv", inputs, 3)
    with FileLock(tmp_path / ".p.csv.part" / LOCK), pytest.raises(EnvironmentProblem, match="another cspops predict"):
        start(tmp_path / "p.csv", inputs)
    assert len(start(tmp_path / "p.csv", inputs)[1]) == 2


def model(**changes):
    classifier = make_classifier(changes.pop("seed", 0))
    return dataclasses.replace(Model(classifier.encoder, classifier, None, tuple(CLASSES), POOL, PLACES), **changes)


def test_the_key_is_that_of_the_same_model_and_options():
    key = key_of(model(), 3, "pool")
    assert key == key_of(model(), 3, "pool")
    others = [
        *(model(seed=1), model(classes=("a", "b", "c")), model(pool=dataclasses.replace(POOL, kernel_km=1.0))),
        *(model(places=None), model(places=dataclasses.replace(PLACES, lonlat=PLACES.lonlat + 1))),
    ]
    keys = {key, key_of(model(), 2, "pool"), *(key_of(one, 3, "pool") for one in others)}
    assert len(keys) == 2 + len(others)


def test_other_options_predict_all_anew(tmp_path, inputs):
    break_off(tmp_path / "p.csv", inputs, 3)
    assert len(start(tmp_path / "p.csv", inputs, "another")[1]) == 5


def test_the_key_knows_the_tensors_of_every_kind():
    classifier = make_classifier().to(torch.bfloat16)
    assert key_of(Model(classifier.encoder, classifier)) != key_of(Model(make_classifier().encoder, make_classifier()))
