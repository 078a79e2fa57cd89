"""`predict`, `evaluate --on` and `embed` of tables that a user names: found, remarked on, with their ids."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from in_process import Command, command_line
from location_runs import CLASSES, write_run
from PIL import Image

from cspops.params import TEMPLATE
from cspops.params.editing import edited


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    write_run(folder)
    return folder


@pytest.fixture
def cspops(tmp_path, monkeypatch, capsys) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


@pytest.fixture
def table(tmp_path):
    """A table of a field form in a folder, as a relative path."""
    (tmp_path / "shots").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "shots" / f"{name}.png")
    rows = f"gbifID,photo,_plot_latitude,_plot_longitude,label\ng1,a.png,47.3,8.5,{CLASSES[0]}\ng2,b.png,47.4,8.6,NA\n"
    (tmp_path / "shots" / "t.csv").write_text(rows)
    return "shots/t.csv"


REMARKS = (
    "t.csv: positions are read from the columns '_plot_longitude' and '_plot_latitude'",
    "t.csv: labels that are read as missing: NA (1)",
)


@pytest.mark.parametrize("out", ["p.csv", "p.parquet"])
def test_predictions_have_the_tables_ids_and_its_oddities_are_said(cspops, table, model, out, tmp_path):
    status, _, err = cspops("predict", table, "--model", model, "--out", out)
    assert status == 0 and [err.count(remark) for remark in REMARKS] == [1, 1]
    text = io.StringIO((tmp_path / out).read_text() if out == "p.csv" else "")
    rows = list(csv.DictReader(text)) or pq.read_table(out).to_pylist()
    assert [(row["where"], row["obs_id"], float(row["lon"])) for row in rows] == [
        ("t.csv:2", "g1", 8.5),
        ("t.csv:3", "g2", 8.6),
    ]


def test_quiet_says_nothing(cspops, table, model):
    assert cspops("-q", "predict", table, "--model", model, "--out", "p.csv") == (0, "", "")


def test_evaluate_on_says_the_same_and_that_seen_images_are_not_known(cspops, table, model):
    status, out, err = cspops("evaluate", "--on", table, "--model", model)
    assert status == 0 and all(remark in err for remark in REMARKS)
    assert "whether the model was trained on some of these images is not known" in out
    status, _, err = cspops("evaluate", "--on", table, "--model", model, "--unseen")
    assert status == 3 and "--unseen needs the hashes" in err


def test_unseen_is_for_other_images(cspops):
    status, _, err = cspops("evaluate", "--unseen")
    assert status == 2 and "--unseen is for --on, which is not given" in err


def test_embeddings_of_a_form(cspops, table, model):
    status, _, err = cspops("embed", table, "--model", model, "--out", "e.parquet")
    assert status == 0 and REMARKS[0] in err
    assert pq.read_table("e.parquet")["lon"].to_pylist() == [8.5, 8.6]


@pytest.mark.parametrize(("words", "status"), [(["predict"], 1), (["evaluate", "--on"], 3), (["embed"], 3)])
def test_a_table_that_is_missing_is_named_as_it_was_given(cspops, table, model, words, status):
    got, out, err = cspops(*words, "shots/tt.csv", "--model", model)
    said = out + err
    assert got == status
    assert "shots/tt.csv" in said and "shots/shots" not in said and "column" not in said and "params.yaml" not in said


@pytest.fixture
def named(tmp_path):
    """Images in folders that are no classes, and a table beside them whose columns have names of their own."""
    for name in ("one/a.png", "two/b.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "set" / name)
    rows = f"shot,what I saw,label\none/a.png,{CLASSES[0]},no\ntwo/b.png,{CLASSES[1]},no\n"
    (tmp_path / "set" / "t.csv").write_text(rows)
    return tmp_path / "set"


def scored(cspops, *words) -> int:
    status, out, err = cspops("evaluate", "--json", *words)
    assert status in (0, 3), err
    return json.loads(out)["scored"] if status == 0 else 0


@pytest.mark.parametrize("on", ["set/t.csv", "set"])
def test_label_names_the_column_of_a_table_and_of_the_one_beside_images(cspops, named, model, on):
    (named / "t.csv").write_text((named / "t.csv").read_text().replace("shot,", "image,"))
    assert scored(cspops, "--on", on, "--model", model) == 0
    assert scored(cspops, "--on", on, "--model", model, "--label", "what I saw") == 2
    status, _, err = cspops("evaluate", "--on", on, "--model", model, "--label", "what I see")
    assert status == 2 and "t.csv has no column 'what I see'; the nearest is 'what I saw'" in err


def test_label_of_a_folder_without_a_table_or_with_two_is_refused(cspops, named, model):
    words = ("evaluate", "--on", "set", "--model", model, "--label", "what I saw")
    (named / "u.csv").write_text((named / "t.csv").read_text())
    assert "set holds 2 tables: t.csv, u.csv" in cspops(*words)[2]
    for name in ("t.csv", "u.csv"):
        (named / name).unlink()
    assert cspops(*words)[0] == 3 and "set holds no table at its top level" in cspops(*words)[2]
    assert "--label is for --on, which is not given" in cspops("evaluate", "--label", "what I saw")[2]


OWN = {
    "table": {"table.columns.image": "shot", "table.columns.label": "what I saw"},
    "folder": {
        "folder.columns.image": "shot",
        "folder.columns.label": "what I saw",
        "folder.sidecar": "t.csv",
        "folder.label": "column",
    },
}


@pytest.mark.parametrize("source", OWN)
@pytest.mark.parametrize("on", ["set", "set/t.csv"])
def test_the_columns_of_a_project_count_for_images_read_as_its_own(cspops, named, tmp_path, source, on):
    write_run(tmp_path / "artifacts")
    values = {"dataset.source": source} | {f"dataset.{key}": value for key, value in OWN[source].items()}
    text = edited(TEMPLATE.read_text(), {tuple(key.split(".")): value for key, value in values.items()})
    (tmp_path / "params.yaml").write_text(text)
    assert scored(cspops, "--on", on) == 2
    status, out, _ = cspops("predict", on, "--format", "csv")
    assert status == 0 and len(out.splitlines()) == 3
    (named / "t.csv").write_text(f"image,label\none/a.png,{CLASSES[0]}\n")  # another set, with the usual names
    assert scored(cspops, "--on", "set/t.csv") == 1
