"""Predictions of images that a user names: what each row says, in pieces of bounded size, and bad images among good ones."""

import csv
import io
import json
import shutil
from importlib.util import find_spec

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from in_process import command_line
from location_runs import CLASSES, PLACES, POOL, write_run
from photos import gps_exif
from PIL import Image

import cspops
from cspops.data.countries import PACKAGE
from cspops.errors import DataError
from cspops.evaluation.pool import Places, write_pool
from cspops.library import prediction
from cspops.library.image_model import ImageModel
from cspops.library.inputs import Input
from cspops.library.model import COMBINE
from cspops.report.reach import Reach


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
        ("pool", model.predict_proba([rows[0].image], lonlat)),
        ("image", model.predict_proba([rows[0].image], combine="image")),
        ("location", model.predict_proba(lonlat=lonlat, combine="location")),
    ):
        assert {one["class"]: one["p"] for one in a[name]} == pytest.approx(dict(zip(CLASSES, p[0], strict=True)))
        assert [one["p"] for one in a[name]] == sorted((one["p"] for one in a[name]), reverse=True)
    b_alone = model.predict_proba([rows[1].image])[0]
    assert {one["class"]: one["p"] for one in b["pool"]} == pytest.approx(dict(zip(CLASSES, b_alone, strict=True)))
    assert {one["combine"] for one in (a, b, c, d)} == {"pool"}
    assert b["location"] is None
    assert (b["lon"], b["position_problem"], b["error"]) == (None, "no position is given", None)
    assert (c["pool"], c["image"]) == (None, None)
    assert c["location"] is not None
    assert c["error"]
    assert (d["pool"], d["location"], d["error"]) == (None, None, "no such file")


def test_the_size_of_a_piece_changes_nothing(model, rows, monkeypatch):
    whole = [one.as_dict() for one in prediction.predict(model, iter(rows), top=2)]
    monkeypatch.setattr(prediction, "BATCH", 1)
    for one, other in zip(prediction.predict(model, iter(rows), top=2), whole, strict=True):
        found = one.as_dict()
        assert found["where"] == other["where"]
        for name in prediction.models_of("pool"):
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


@pytest.mark.parametrize("combine", [None, *COMBINE])
def test_the_first_guesses_are_what_is_asked_for_under_its_name(model, rows, combine):
    a, b, c, d = (one.as_dict() for one in prediction.predict(model, iter(rows), top=3, combine=combine))
    p = model.predict_proba([rows[0].image], [[8.5, 47.4]], combine=combine)
    name = combine or "pool"
    assert [key for key in a if key in COMBINE] == list(dict.fromkeys((name, "image", "location")))
    assert {one["class"]: one["p"] for one in a[name]} == pytest.approx(dict(zip(CLASSES, p[0], strict=True)))
    assert a["combine"] == name
    assert [one[name] is None for one in (b, c, d)] == ([True, False, True] if combine == "location" else [False, True, True])


def test_the_pool_says_what_it_trusted(model, rows):
    a, b, c, d = (one.as_dict() for one in prediction.predict(model, iter(rows), top=1, trust=True))
    weights, km = model.trust(torch.tensor([[8.5, 47.4]], dtype=torch.float64))
    assert [a["image_weight"], a["place_weight"]] == weights[0].tolist()
    assert a["nearest_km"] == pytest.approx(float(km), abs=1e-3)
    assert [b[name] for name in (*prediction.TRUST, "nearest_km")] == [POOL.image_alone, 0.0, None]
    assert (c["image_weight"], c["place_weight"]) == (None, None) and c["nearest_km"] == pytest.approx(55.6, abs=0.2)
    assert {d[name] for name in (*prediction.TRUST, "nearest_km")} == {None}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 0, "product: P(y|I) P(y|x), as in the paper"),
        (["--combine", "image"], 0, "image: the image alone"),
        (["--combine", "pool"], 3, "it was not evaluated"),
        (["--trust"], 3, "hint: dvc repro evaluate, or leave --trust out"),
        (["--trust", "--combine", "image"], 2, "--trust shows what the pool trusted, and --combine is image"),
    ],
)
def test_a_run_that_was_not_evaluated_has_no_pool_and_says_so(tmp_path, monkeypatch, capsys, words, status, says):
    write_run(tmp_path / "artifacts")
    shutil.rmtree(tmp_path / "artifacts" / "evaluate")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    found, out, err = command_line(monkeypatch, capsys)("predict", "a.png", "--format", "csv", *words)
    assert (found, err.count(says)) == (status, 1)
    if status == 3:
        assert "dvc repro evaluate" in err
    if not words:
        assert "there is no pool, as the model was not evaluated: dvc repro evaluate" in err and ",product," in out


def test_trust_has_columns_of_its_own(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "artifacts")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    cspops = command_line(monkeypatch, capsys)
    asked = ("predict", "a.png", "--lon", "8", "--lat", "47", "--trust")
    _, out, err = cspops(*asked, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    names = (*prediction.TRUST, "nearest_km")
    assert [float(row[name]) for name in names] == [POOL.image[0], POOL.place[0], 0.0]
    assert "pool: image, learned location and labelled neighbours" in err
    assert cspops(*asked, "--out", "p.parquet")[0] == 0
    (found,) = pq.read_table("p.parquet").to_pylist()
    assert [found[name] for name in names] == pytest.approx([POOL.image[0], POOL.place[0], 0.0])
    assert "place weight" in cspops(*asked)[1]


def test_weights_of_experts_are_those_of_the_library_and_rows_say_them(tmp_path, monkeypatch, capsys, model):
    write_run(tmp_path / "artifacts")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    asked = ("predict", "a.png", "--lon", "8.5", "--lat", "47.4", "--prior-weight", "0.5", "--weight", "neighbours=0")
    _, out, err = command_line(monkeypatch, capsys)(*asked, "--format", "jsonl")
    row = json.loads(out)
    p = model.predict_proba([tmp_path / "a.png"], [[8.5, 47.4]], prior_weight=0.5, weights={"neighbours": 0.0})
    assert {one["class"]: one["p"] for one in row["pool"]} == pytest.approx(dict(zip(CLASSES, p[0], strict=True)))
    assert row["weights"] == "prior weight 0.5, weight of neighbours 0" and row["weights"] in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--prior-weight", "1.5"], "the prior weight is 1.5"),
        (["--prior-weight", "nan"], "the prior weight is nan"),
        (["--prior-weight", "0.5", "--combine", "location"], "combine is location"),
        (["--weight", "image"], "--weight image is not EXPERT=NUMBER"),
        (["--weight", "image=much"], "--weight image=much is not EXPERT=NUMBER"),
        (["--weight", "image=-1"], "the weight of image is -1"),
        (["--weight", "neighbors=0"], "did you mean neighbours?"),
        (["--weight", "image=1", "--weight", "image=2"], "--weight image is given twice"),
        (["--weight", "image=0", "--prior-weight", "0"], "no expert is left"),
        (["--weight", "neighbours=0", "--combine", "product"], "the product counts no labelled neighbours"),
    ],
)
def test_weights_that_mean_nothing_are_refused(tmp_path, monkeypatch, capsys, words, says):
    write_run(tmp_path / "artifacts")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    status, out, err = command_line(monkeypatch, capsys)("predict", "a.png", *words, "--out", "p.csv")
    assert (status, out, (tmp_path / "p.csv").exists()) == (2, "", False) and says in err


@pytest.fixture
def at_hand(tmp_path, monkeypatch, capsys):
    """A run, a photo, a list of two classes, and regions with places of two classes and of none."""
    write_run(tmp_path / "artifacts")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("fir\nbeech\n")
    for name, west in (("alps", 7), ("sea", -40)):
        ring = [(west, 46), (west + 3, 46), (west + 3, 49), (west, 49), (west, 46)]
        (tmp_path / f"{name}.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    (tmp_path / "fir.txt").write_text("fir\n")
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys, "predict", "a.png", "--lon", "8", "--lat", "47")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_row_says_which_class_was_masked(at_hand, form):
    def row(*words):
        _, out, err = at_hand("--format", form, "--top", "1", *words)
        found = json.loads(out) if form == "jsonl" else next(csv.DictReader(io.StringIO(out)))
        return found, err

    free, _ = row()
    best = free["pool"][0]["class"] if form == "jsonl" else free["pool_1"]
    assert best == "oak" and "masked_best" not in free
    masked, err = row("--classes", "list.txt")
    assert masked["masked_best"] == "oak"
    assert (masked["pool"][0]["class"] if form == "jsonl" else masked["pool_1"]) in ("fir", "beech")
    assert "candidates: 2 of 3 classes" in err and "see masked_best: 1 of 1" in err
    kept, err = row("--region", "alps.geojson")
    assert kept["masked_best"] in (None, "") and "see masked_best: 0 of 1" in err
    both, _ = row("--region", "alps.geojson", "--classes", "list.txt")
    assert (both["pool"] if form == "jsonl" else both["pool_1_p"]) in ([{"class": "beech", "p": 1.0}], "1")


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the shapes of countries are not installed")
def test_a_country_has_the_classes_of_its_labelled_places(at_hand):
    _, out, err = at_hand("--region", "CH", "--format", "jsonl")
    assert json.loads(out)["pool"] == [{"class": "oak", "p": 1.0}] and "candidates: 1 of 3 classes" in err
    status, _, err = at_hand("--region", "Schweiz")
    assert status == 2 and "--region Schweiz is no country" in err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--region", "sea.geojson"], 3, "so that no class is left"),
        (["--region", "alps.geojson", "--classes", "fir.txt"], 3, "no class is both in fir.txt and in --region alps.geojson"),
        (["--region", "nowhere.geojson"], 3, "--region nowhere.geojson cannot be read"),
        (["--classes", "nothing.txt"], 3, "--classes nothing.txt: there is no such file"),
        (["--classes", ""], 2, "--classes names no file"),
    ],
)
def test_what_leaves_no_class_is_refused(at_hand, tmp_path, words, status, says):
    found, out, err = at_hand(*words, "--out", "p.csv")
    assert (found, out) == (status, "") and says in err and err.count("error:") == 1
    assert not {one.name for one in tmp_path.iterdir()} & {"p.csv", ".p.csv.part"}


@pytest.mark.parametrize(("least", "answer"), [(0.01, "oak"), (0.999, "trees"), (1.0, "trees")])
def test_an_answer_is_the_class_or_what_is_above_it(at_hand, tmp_path, least, answer):
    (tmp_path / "trees.csv").write_text("class,all,kind\noak,trees,broadleaved\nbeech,trees,broadleaved\nfir,trees,conifer\n")
    asked = ("--taxonomy", "trees.csv", "--min-confidence", least)
    row = json.loads(at_hand(*asked, "--format", "jsonl")[1])
    p = {one["class"]: one["p"] for one in row["pool"]}
    assert (row["answer"], row["rolled_up"]) == (answer, 0 if answer == "oak" else 2)
    assert row["answer_p"] == pytest.approx(p["oak"] if answer == "oak" else 1.0)
    assert at_hand(*asked, "--out", "p.parquet")[0] == 0
    (found,) = pq.read_table("p.parquet").to_pylist()
    assert (found["answer"], found["rolled_up"]) == (answer, row["rolled_up"])


def test_no_answer_is_said(at_hand, tmp_path):
    (tmp_path / "trees.csv").write_text("class,parent\noak,\nbeech,\nfir,\n")
    _, out, err = at_hand("--taxonomy", "trees.csv", "--min-confidence", 1, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert [row[name] for name in ("answer", "answer_p", "rolled_up")] == ["", "", ""]
    assert "rows without an answer that is 1 sure: 1 of 1" in err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--min-confidence", "0.8"], 2, "--min-confidence needs --taxonomy FILE"),
        (["--min-confidence", "nan", "--taxonomy", "trees.csv"], 2, "--min-confidence nan is no probability"),
        (["--taxonomy", "trees.csv"], 2, "nothing says how sure they are to be"),
        (["--min-confidence", "0.8", "--taxonomy", "trees.csv"], 3, "trees.csv: line 3: a circle of parents"),
        (["--min-confidence", "0.8", "--taxonomy", "none.csv"], 3, "--taxonomy none.csv: there is no such file"),
    ],
)
def test_a_taxonomy_that_is_wrong_is_refused_before_anything_is_predicted(at_hand, tmp_path, words, status, says):
    (tmp_path / "trees.csv").write_text("class,parent\nbeech,\noak,trees\ntrees,oak\nfir,\n")
    found, out, err = at_hand(*words, "--out", "p.csv")
    assert (found, out) == (status, "") and says in err and err.count("error:") == 1
    assert not {one.name for one in tmp_path.iterdir()} & {"p.csv", ".p.csv.part"}


@pytest.mark.parametrize(("far", "near", "says"), [(1, 0, True), (1, 5, True), (1, 12, False), (0, 3, False)])
def test_rows_far_from_all_labels_are_said_in_one_line_where_they_are_many(tmp_path, monkeypatch, capsys, far, near, says):
    write_run(tmp_path / "artifacts")
    image = np.zeros((32, 32, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    lines = ["image,lon,lat", *["a.png,8.1,47.1"] * near, *["a.png,-120,0"] * far, "a.png,,"]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "cspops.report.model_reach.Reach.of", lambda places, kernel_km: Reach(PLACES, 200.0, "as the test says")
    )
    _, out, err = command_line(monkeypatch, capsys)("predict", "rows.csv", "--format", "jsonl")
    km = [json.loads(line)["nearest_km"] for line in out.splitlines()]
    assert [one is not None and one > 5000 for one in km] == [False] * near + [True] * far + [False] and km[-1] is None
    assert err.count("farther than 200 km from a labelled place (as the test says)") == says
    assert not says or f"{far} of {far + near} rows with a position" in err


def test_a_narrow_terminal_does_without_the_models_alone_and_keeps_the_names_of_files(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "artifacts")
    folder = tmp_path / "a folder of photos" / "from the first garden of the summer"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    _, out, err = command_line(monkeypatch, capsys)("predict", ".", "--lon", "8", "--lat", "47", "--trust")
    lines = out.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("─"))
    assert {"where", "pool", "nearest"} <= {*" ".join(lines[:rule]).split()} and "location" not in out
    assert [line.split("  ")[0][-6:] for line in lines[rule + 1 :] if ".png" in line] == ["/a.png", "/b.png"]
    assert max(map(len, lines)) <= 80
    assert "left out, as the terminal is narrow: location" in err


@pytest.mark.parametrize(("combine", "said"), [("pool", 1), ("product", 0)])
def test_a_pool_that_lost_its_places_says_so(tmp_path, monkeypatch, capsys, combine, said):
    write_run(tmp_path / "artifacts")
    nowhere = Places(torch.empty(0, 2), torch.empty(0, dtype=torch.long))
    write_pool(tmp_path / "artifacts" / "evaluate" / "seed_0" / "label_100", POOL, nowhere)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    _, _, err = command_line(monkeypatch, capsys)("predict", "a.png", "--lon", "8", "--lat", "47", "--combine", combine)
    assert err.count("the model holds no labelled places, so that no neighbour is counted") == said


@pytest.mark.parametrize("words", [["predict", "oak"], ["evaluate", "--on", "oak"]])
def test_a_fusion_that_is_left_out_is_said(tmp_path, monkeypatch, capsys, words):
    write_run(tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oak").mkdir()
    Image.new("RGB", (32, 32)).save("oak/a.png")
    run, said = command_line(monkeypatch, capsys), "fusion (finetune_loc.fusion), which the run trained too, is left out"
    assert said not in run(*words)[2]
    (tmp_path / "artifacts/finetune_loc/seed_0/label_100/fusion").mkdir()
    assert said in run(*words)[2]


def test_a_model_that_cannot_is_refused(tmp_path, rows):
    write_run(tmp_path / "artifacts")
    with pytest.raises(DataError, match="no image classifier"):
        next(prediction.predict(cspops.load(tmp_path / "artifacts" / "pretrain" / "seed_0"), iter(rows), top=1))


@pytest.mark.parametrize(("words", "again"), [([], 1), (["--top", "1"], 4), (["--combine", "product"], 4)])
def test_a_second_start_continues_a_file_that_was_broken_off(tmp_path, monkeypatch, capsys, words, again):
    write_run(tmp_path / "artifacts")
    draws = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prediction, "BATCH", 1)
    opened: list[str] = []
    true = ImageModel.square_of

    def square_of(self, image):
        if image.name == "d.png" and not opened.count("d.png"):
            opened.append("d.png")
            raise KeyboardInterrupt
        opened.append(image.name)
        return true(self, image)

    monkeypatch.setattr(ImageModel, "square_of", square_of)
    cspops = command_line(monkeypatch, capsys)
    status, _, err = cspops("predict", "photos", "--out", "p.csv")
    assert status == 130 and "3 rows are kept" in err and not (tmp_path / "p.csv").exists()
    opened[:] = ["d.png"]
    status, _, err = cspops("predict", "photos", "--out", "p.csv", *words)
    assert (status, opened[1:]) == (0, ["a.png", "b.png", "c.png", "d.png"][-again:])
    assert ("3 rows are there from an earlier start" in err) == (again == 1)
    continued = (tmp_path / "p.csv").read_text()
    assert cspops("predict", "photos", "--out", "p.csv", *words)[0] == 0
    assert (tmp_path / "p.csv").read_text() == continued
    assert {one.name for one in tmp_path.iterdir()} == {"artifacts", "photos", "p.csv"}


@pytest.fixture
def dated_photos(tmp_path, monkeypatch):
    """A model that takes time, a photo with a date of its own, and a table with dates and without."""
    write_run(tmp_path / "artifacts", dated=True)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("a.jpg", exif=gps_exif(8.5, 47.4, taken="2021:06:05 12:00:00"))
    Image.new("RGB", (32, 32)).save("b.png")
    cells = ("2024-12-24", "", "03/04/2024", "13/14/2024")
    (tmp_path / "t.csv").write_text("image,lon,lat,date\n" + "".join(f"b.png,8.5,47.4,{one}\n" for one in cells))
    return tmp_path


def test_rows_say_their_date_and_where_it_is_from(dated_photos, monkeypatch, capsys):
    status, out, err = command_line(monkeypatch, capsys)("predict", "a.jpg", "t.csv", "b.png", "--format", "csv")
    found = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert [(row["date"], row["date_from"]) for row in found] == [
        ("2021-06-05", "file"), ("2024-12-24", "table"), ("", "none"), ("", "none"), ("", "none"), ("", "none"),
    ]  # fmt: skip
    assert "2024-04-03 or 2024-03-04" in found[3]["date_problem"]
    assert "no such day" in found[4]["date_problem"]
    assert "rows with a position and without a date, predicted for the average over the year: 3 of 6" in err
    assert "2 of 6 rows have an unusable date; the first: t.csv:4: " in err
    loaded = cspops.load(".")
    p = loaded.predict_proba(["b.png"] * 2, [[8.5, 47.4]] * 2, dates=["2024-12-24", None])
    for row, of_row in zip(found[1:3], p, strict=True):
        assert float(row["pool_1_p"]) == pytest.approx(of_row.max(), rel=1e-5)
    assert found[2]["pool_1_p"] == found[4]["pool_1_p"] != found[1]["pool_1_p"]


@pytest.mark.parametrize(("text", "shown"), [("06-15", "06-15"), ("June", "June"), ("2024-06-15", "2024-06-15"), ("none", "")])
def test_a_date_for_all_rows(dated_photos, monkeypatch, capsys, text, shown):
    status, out, err = command_line(monkeypatch, capsys)("predict", "a.jpg", "t.csv", "--format", "csv", "--date", text)
    found = list(csv.DictReader(io.StringIO(out)))
    assert status == 0 and "without a date" not in err and "unusable" not in err
    assert {(row["date"], row["date_from"]) for row in found} == {(shown, "given")}
    dates = None if text == "none" else text
    p = cspops.load(".").predict_proba(["b.png"], [[8.5, 47.4]], dates=dates)[0]
    assert float(found[1]["pool_1_p"]) == pytest.approx(p.max(), rel=1e-5)


@pytest.mark.parametrize("text", ["03/04/2024", "13/14/2024", "2024-02-30", "Febtober"])
def test_a_date_that_cannot_be_is_refused(dated_photos, monkeypatch, capsys, text):
    status, out, err = command_line(monkeypatch, capsys)("predict", "a.jpg", "--date", text)
    assert (status, out) == (2, "") and err.startswith(f"error: --date '{text}'")


def test_a_model_without_time_refuses_a_date_and_shows_none(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("a.jpg", exif=gps_exif(8.5, 47.4))
    run = command_line(monkeypatch, capsys)
    status, _, err = run("predict", "a.jpg", "--date", "June")
    assert status == 2 and "knows no season (location_encoder.time: none)" in err
    status, out, err = run("predict", "a.jpg", "--format", "csv")
    assert status == 0 and "date" not in out + err


def test_files_hold_the_dates_too(dated_photos, monkeypatch, capsys):
    assert command_line(monkeypatch, capsys)("predict", "t.csv", "--out", "p.parquet")[0] == 0
    assert pq.read_table("p.parquet")["date"].to_pylist() == ["2024-12-24", None, None, None]
