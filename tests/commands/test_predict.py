"""Predictions of images that a user names: what each row says, in pieces of bounded size, and bad images among good ones."""

import numpy as np
import pytest
from location_runs import CLASSES, write_run
from PIL import Image

import cspops
from cspops.errors import DataError
from cspops.library import prediction
from cspops.library.inputs import Input


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    write_run(folder)
    return cspops.load(folder)


@pytest.fixture
def rows(tmp_path):
    """A good image with a position, one without, a broken one with, and a row without an image."""
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"not an image")
    return [
        Input("a", tmp_path / "a.png", 8.5, 47.4, "file"),
        Input("b", tmp_path / "b.png", np.nan, np.nan, "none", "no position is given"),
        Input("c", tmp_path / "c.png", -70.0, -33.0, "file"),
        Input("d", None, np.nan, np.nan, "none", error="no such file"),
    ]


def test_each_row_says_what_its_image_and_its_position_say(model, rows):
    a, b, c, d = (one.as_dict() for one in prediction.predict(model, iter(rows), top=3))
    lonlat = [[8.5, 47.4]]
    for name, p in (
        ("combined", model.predict_proba([rows[0].image], lonlat)),
        ("image", model.predict_proba([rows[0].image])),
        ("location", model.predict_proba(lonlat=lonlat)),
    ):
        assert {one["class"]: one["p"] for one in a[name]} == pytest.approx(dict(zip(CLASSES, p[0], strict=True)))
        assert [one["p"] for one in a[name]] == sorted((one["p"] for one in a[name]), reverse=True)
    assert b["combined"] == b["image"]
    assert b["location"] is None
    assert (b["lon"], b["position_problem"], b["error"]) == (None, "no position is given", None)
    assert (c["combined"], c["image"]) == (None, None)
    assert c["location"] is not None
    assert c["error"]
    assert (d["combined"], d["location"], d["error"]) == (None, None, "no such file")


def test_the_size_of_a_piece_changes_nothing(model, rows, monkeypatch):
    whole = [one.as_dict() for one in prediction.predict(model, iter(rows), top=2)]
    monkeypatch.setattr(prediction, "BATCH", 1)
    for one, other in zip(prediction.predict(model, iter(rows), top=2), whole, strict=True):
        found = one.as_dict()
        assert found["where"] == other["where"]
        for name in prediction.MODELS:
            assert [guess["class"] for guess in found[name] or []] == [guess["class"] for guess in other[name] or []]


def test_no_more_images_are_read_than_a_piece_holds(model, rows, monkeypatch):
    monkeypatch.setattr(prediction, "BATCH", 2)
    taken = []

    def source():
        for row in rows:
            taken.append(row.where)
            yield row

    found = prediction.predict(model, source(), top=1)
    next(found)
    assert taken == ["a", "b"]


def test_the_calibrated_product_is_another(model, rows):
    plain, calibrated = (
        next(prediction.predict(model, iter(rows), top=3, calibrated=flag)).as_dict()["combined"] for flag in (False, True)
    )
    assert {one["class"] for one in plain} == {one["class"] for one in calibrated}
    assert [one["p"] for one in plain] != [one["p"] for one in calibrated]


def test_a_model_that_cannot_is_refused(tmp_path, rows):
    write_run(tmp_path / "artifacts")
    with pytest.raises(DataError, match="no image classifier"):
        next(prediction.predict(cspops.load(tmp_path / "artifacts" / "pretrain" / "seed_0"), iter(rows), top=1))
