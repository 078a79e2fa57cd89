"""Candidates: which classes they are, what masking does to P, and lists and regions that leave no class."""

import dataclasses
import json

import numpy as np
import pytest
from location_runs import CLASSES, PLACES, POOL, make_classifier, write_run
from PIL import Image

import cspops
from cspops.errors import DataError
from cspops.library.candidates import classes_in, listed_classes
from cspops.library.model import Model

LONLAT = [[8.5, 47.4], [-70.0, -33.0]]


def square(west: float, south: float, side: float) -> str:
    ring = [(west, south), (west + side, south), (west + side, south + side), (west, south + side), (west, south)]
    return json.dumps({"type": "Polygon", "coordinates": [ring]})


def located() -> Model:
    classifier = make_classifier()
    return Model(classifier.encoder, classifier, classes=tuple(CLASSES), pool=POOL, places=PLACES)


@pytest.mark.parametrize("combine", ["pool", "location"])
def test_the_candidates_share_what_all_had_in_proportion(combine):
    p = located().predict_proba(lonlat=LONLAT, combine=combine)
    found = located().predict_proba(lonlat=LONLAT, combine=combine, classes=["fir", "OAK"])
    np.testing.assert_allclose(found, p * [0, 1, 1] / p[:, 1:].sum(1, keepdims=True), rtol=1e-12)
    for guesses in located().predict(lonlat=LONLAT, combine=combine, classes=["fir", "oak"]):
        assert {name for name, _ in guesses} == {"fir", "oak"}


def test_a_whole_run_masks_what_it_combines(tmp_path):
    write_run(tmp_path / "artifacts")
    model = cspops.load(tmp_path / "artifacts")
    images = [Image.new("RGB", (32, 32), "green")] * 2
    p = model.predict_proba(images, LONLAT, prior_weight=0.5)
    found = model.predict_proba(images, LONLAT, prior_weight=0.5, classes=["beech"])
    assert found.tolist() == [[1.0, 0.0, 0.0]] * 2 and not np.array_equal(p, found)


def test_of_two_restrictions_what_both_leave():
    model = located().among(["fir", "oak"]).among(["oak", "beech"])
    assert model.candidates == (2,)
    with pytest.raises(DataError, match="no class is left"):
        model.among(["fir"])
    with pytest.raises(DataError, match="no class is left"):
        model.among([])


@pytest.mark.parametrize(
    "form",
    ["text", "comments", "crlf", "only.csv", "headless.csv", "class.csv", "label.tsv", "names.csv", "bom", "class.parquet"],
)
def test_lists_of_every_form(tmp_path, form):
    file = tmp_path / (form if "." in form else "list.txt")
    text = {
        "text": "fir\n\n  oak \n",
        "comments": "# of the alps\nfir\n  #\noak  # rare\n",
        "crlf": "fir\r\noak\r\n",
        "only.csv": "name\nfir\noak\n",
        "headless.csv": "fir\noak\n",
        "class.csv": 'id,class\n1,"Fir"\n2,oak\n3,\n',
        "label.tsv": "label\tn\nfir\t1\noak\t2\n",
        "names.csv": "id;scientificName\n1;fir\n2;oak\n",
        "bom": "﻿fir\noak",
    }
    if form == "class.parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"class": ["fir", None, "oak"]}), file)
    else:
        file.write_bytes(text[form].encode())
    assert listed_classes(located(), file) == ["fir", "oak"]


@pytest.mark.parametrize(
    ("name", "text", "says", "hint"),
    [
        ("a.txt", "fir\noke\n", "a.txt: line 2: the model has no class 'oke'", "did you mean 'oak'"),
        (
            "a.txt",
            "elm\nfirs\n",
            "line 1: the model has no class 'elm', and 1 more of its names are unknown",
            "classes are 'beech'",
        ),
        ("a.csv", "class,n\nfir,1\n\noke,2\n", "a.csv: line 4: the model has no class 'oke'", "did you mean 'oak'"),
        ("a.csv", "name,n\nfir,1\n", "a.csv has no column class", "rename one to class"),
        ("a.txt", "\n \n", "a.txt holds no name of a class", "one per line"),
        ("a.txt", "#fir\n # oak\n", "a.txt holds no name of a class", "one per line"),
        ("a.txt", "# all\nfir\noke # x\n", "a.txt: line 3: the model has no class 'oke'", "did you mean 'oak'"),
        ("a.txt", "fir#\n", "a.txt: line 1: the model has no class 'fir#'", "did you mean 'fir'"),
        ("a.csv", "class,n\n", "a.csv holds no name of a class", "one per line"),
        ("a.txt", "GIF89a\0\0\n", "a.txt is no text", "one name per line"),
        ("a.txt", None, "there is no such file", "name a file"),
    ],
)
def test_lists_that_are_wrong_are_refused_by_file_and_line(tmp_path, name, text, says, hint):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        listed_classes(located(), tmp_path / name)
    assert hint in str(caught.value.hint)


def test_a_class_with_a_hash_in_its_name_is_no_comment(tmp_path):
    (tmp_path / "a.txt").write_text("#1\nroad #2\nroad # two\n")
    known = Model(make_classifier().encoder, make_classifier(), classes=("#1", "road #2", "road"))
    assert listed_classes(known, tmp_path / "a.txt") == ["#1", "road #2", "road"]


def test_a_region_has_the_classes_of_its_labelled_places(tmp_path):
    for name, text, classes in (("alps", square(7, 46, 3), ["beech", "oak"]), ("andes", square(-75, -40, 10), ["fir"])):
        (tmp_path / f"{name}.geojson").write_text(text)
        assert classes_in(located(), str(tmp_path / f"{name}.geojson")) == classes
    (tmp_path / "sea.geojson").write_text(square(-40, 20, 5))
    with pytest.raises(DataError, match="holds none of the model's 3 labelled places, so that no class is left"):
        classes_in(located(), str(tmp_path / "sea.geojson"))
    with pytest.raises(DataError, match="the model holds no labelled places"):
        located_nowhere = dataclasses.replace(located(), places=None)
        classes_in(located_nowhere, str(tmp_path / "alps.geojson"))


def test_a_model_without_names_has_no_candidates():
    with pytest.raises(DataError, match="no named classes"):
        dataclasses.replace(located(), classes=None).among(["oak"])
    with pytest.raises(DataError, match=r"no class 'oke'"):
        located().predict(lonlat=LONLAT, classes="oke")
