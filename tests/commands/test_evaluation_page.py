"""The text that `cspops evaluate` prints beside its table."""

import json

import numpy as np
import pytest
from in_process import command_line
from location_runs import write_run
from PIL import Image

from cspops.commands.evaluate import MOST_CLASSES, class_rows, heading, metric_rows, notes, reason_rows, rolled_rows
from cspops.report.tables import LEAST_CALIBRATED

DOCUMENT = {
    "on": ["photos", "more\x1b[31m.csv"],
    "rows": 1200,
    "scored": 1100,
    "seeds": [0, 1],
    "label_ratio": 0.05,
    "classes": 2,
    "classes_of_model": 3,
    "metrics": {"image": {}, "location": {}, "combined": {}},
    "not_scored": {"no label": {"rows": 100, "such_as": ["a.jpg", "b\n.jpg"]}},
    "scored_without_position": {"no position is given": 7},
    "images_of_the_run": {"train": 40, "test": 5, "val": 2},
    "unseen": False,
    "weights": None,
    "candidates": None,
    "rolled_up": None,
    "unknown_labels": {"elm": 3},
    "respelled_labels": {"Oak ": {"class": "oak", "rows": 2}},
}


def test_the_heading_says_rows_labels_and_seeds():
    assert (
        heading(DOCUMENT)
        == "photos, more\x1b[31m.csv: 1,100 of 1,200 rows, models of 5 % of the labels, mean (sd) over 2 seeds"
    )
    assert heading(DOCUMENT | {"seeds": None, "label_ratio": None}).endswith("1,200 rows, one seed")
    assert "1,200 rows, unseen images only, models" in heading(DOCUMENT | {"unseen": True})


SCORES = {"top1": {"mean": 50.0, "sd": 0.5}, "ece": {"mean": 4.0, "sd": 1.0}}


@pytest.mark.parametrize(
    ("seeds", "scored", "top1", "ece"),
    [
        ([0, 1], LEAST_CALIBRATED, "50.00 (0.50)", "4.00 (1.00)"),
        ([0, 1], LEAST_CALIBRATED - 1, "50.00 (0.50)", "-"),
        ([3], LEAST_CALIBRATED, "50.00", "4.00"),
        (None, 1, "50.00", "-"),
    ],
)
def test_one_seed_has_no_deviation_and_few_rows_no_calibration_error(seeds, scored, top1, ece):
    document = DOCUMENT | {"seeds": seeds, "scored": scored, "metrics": {"image": SCORES, "location": {"top1": SCORES["top1"]}}}
    assert metric_rows(document) == [["metric", "image", "location"], ["top1", top1, top1], ["ece", ece, "-"]]
    said = f"no calibration error (ece) of {scored:,} rows: below {LEAST_CALIBRATED} rows it is mostly chance"
    assert (said in notes(document)) == (scored < LEAST_CALIBRATED)


def test_reasons_with_places():
    assert reason_rows(DOCUMENT)[1:] == [["no label", ["a.jpg", "b\n.jpg"], "100"]]


def test_everything_odd_is_a_sentence():
    assert notes(DOCUMENT) == [
        "the rows are of 2 of the model's 3 classes",
        "42 of 1,100 images were used to train or tune the model (train 40, val 2), which --unseen leaves out; "
        "its run held out 5",
        "labels that the model does not know: 'elm' (3)",
        "labels matched regardless of case, blanks and Unicode form: 'Oak ' as 'oak' (2)",
        "scored without a position, by the image alone: no position is given (7)",
        "no pool of image, location and labelled neighbours: the run was not evaluated (dvc repro evaluate)",
    ]
    plain = DOCUMENT | {
        "images_of_the_run": {},
        "scored_without_position": {},
        "unknown_labels": {},
        "respelled_labels": {},
        "metrics": {"location": {}},
    }
    none = "none of the images was used to train or tune the model"
    assert notes(plain)[1:] == [none, "location alone: the model has no image classifier"]
    assert notes(plain | {"images_of_the_run": {"test": 3}})[1] == f"{none}; its run held out 3"
    assert "is not known" in notes(plain | {"images_of_the_run": None})[1]


@pytest.mark.parametrize(
    ("rows", "said"), [(1, "unusable dates: 1: t.csv:4: x"), (2, "unusable dates: 2; the first: t.csv:4: x")]
)
def test_rows_without_a_date_and_why_are_sentences(rows, said):
    document = DOCUMENT | {"dated": 1000, "unusable_dates": {"rows": rows, "first": "t.csv:4: x"}}
    without = notes(DOCUMENT | {"dated": 1100, "unusable_dates": None})
    average = "scored without a date, for the average over the year: 100 of 1,100"
    assert [one for one in notes(document) if one not in without] == [average, said]


def test_the_largest_classes_and_what_the_product_takes_them_for():
    one = {"class": "oak", "rows": 1234, "top1": {"image": 50.0, "combined": 62.5}}
    one["taken_for"] = {"image": None, "combined": {"class": "fir", "share": 12.34}}
    header, row = class_rows([one])
    assert header == ["class", "most often taken for (product)", "rows", "image", "product"]
    assert row == ["oak", "fir (12.3 %)", "1,234", "50.00", "62.50"]
    alone = {"class": "oak", "rows": 1, "top1": {"location": 0.0}, "taken_for": {"location": None}}
    assert class_rows([alone])[1] == ["oak", "-", "1", "0.00"]
    assert len(class_rows([one] * (MOST_CLASSES + 5))) == MOST_CLASSES + 1
    assert len(class_rows([])) == 1


def test_answers_are_a_table_of_their_own():
    step = {"steps": 0, "share": 60.0, "accuracy": 90.0}
    models = {
        "pool": {"coverage": {"mean": 75.0, "sd": 1.0}, "accuracy": {"mean": 96.0, "sd": 0.5}}
        | {"by_steps": [step, step | {"steps": 1, "share": 15.0}]},
        "image": {
            "coverage": {"mean": 0.0, "sd": 0.0},
            "accuracy": None,
            "by_steps": [step | {"share": 0.0, "accuracy": None}] * 2,
        },
    }
    title, rows = rolled_rows({"min_confidence": 0.8, "models": models})
    assert title == "Answers that are at least 0.8 sure, per cent of the rows"
    assert rows[0] == ["model", "answered", "of these right", "the class itself", "1 above"]
    assert rows[1:] == [["pool", "75.00", "96.00", "60.00", "15.00"], ["image", "0.00", "-", "0.00", "0.00"]]


def test_candidates_are_a_sentence():
    masks = {"classes": 3, "label_is_none": 4, "best_is_none": {"pool": 2.5}}
    said = notes(DOCUMENT | {"candidates": masks})
    assert any("3 classes are candidates" in one and "pool 2.5; 4 of 1,100 labels are none" in one for one in said)
    alone = notes(DOCUMENT | {"candidates": masks | {"classes": 1}})
    assert any(one.startswith("1 class is a candidate; rows") for one in alone)
    assert not any("no nll" in one for one in notes(DOCUMENT | {"candidates": masks | {"label_is_none": 0}}))


def test_what_is_controlled_is_said_and_scored(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "artifacts")
    draws = np.random.default_rng(0)
    for name in ("oak", "fir"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            pixels = draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "trees.csv").write_text("class,kind\noak,broadleaved\nbeech,broadleaved\nfir,conifer\n")
    (tmp_path / "list.txt").write_text("oak\nbeech\n")
    monkeypatch.chdir(tmp_path)
    cspops = command_line(monkeypatch, capsys, "evaluate", "--on", "photos")
    asked = ("--prior-weight", "0.5", "--classes", "list.txt", "--taxonomy", "trees.csv", "--min-confidence", "0.9")
    document = json.loads(cspops(*asked, "--json")[1])
    assert document["weights"] == "prior weight 0.5"
    assert (document["candidates"]["classes"], document["candidates"]["label_is_none"]) == (2, 2)
    for one in document["rolled_up"]["models"].values():  # all candidates are of one kind
        assert (one["coverage"]["mean"], one["accuracy"]["mean"]) == (100.0, 50.0)
    out = cspops(*asked)[1]
    for said in ("prior weight 0.5", "2 classes are candidates", "Answers that are at least 0.9 sure", "1 above"):
        assert said in out
    plain = json.loads(cspops("--json")[1])
    assert [plain[name] for name in ("weights", "candidates", "rolled_up")] == [None, None, None]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--on", "photos", "--weight", "oak=1"], 2, "there is no expert 'oak'"),
        (["--on", "photos", "--min-confidence", "0.5"], 2, "needs --taxonomy FILE"),
        (["--on", "photos", "--region", "none.geojson"], 3, "--region none.geojson cannot be read"),
        (["--show", "--prior-weight", "0.5"], 2, "--prior-weight is for --on"),
        (["--show", "--classes", "list.txt"], 2, "--classes is for --on"),
        (["--show", "--min-confidence", "0.5"], 2, "--min-confidence is for --on"),
    ],
)
def test_controls_that_mean_nothing_are_refused(tmp_path, monkeypatch, capsys, words, status, says):
    write_run(tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    found, out, err = command_line(monkeypatch, capsys)("evaluate", *words)
    assert (found, out) == (status, "") and says in err and err.count("error:") == 1
