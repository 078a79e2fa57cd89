"""Rows in, catalogue out: every bad input by itself, and that nothing is lost or depends on the batches."""

import hashlib
import json
import math
import resource
import signal
from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from told import told

from cspops.data.catalogue import read_images, read_observations
from cspops.data.schemas import OPTIONAL, REJECTED_SCHEMA, SCHEMA
from cspops.errors import DataError, EnvironmentProblem
from cspops.intake.judging import first_pass, labels, positions
from cspops.intake.judging import second_pass as catalogue_writer
from cspops.intake.judging.ingest import Rules, ingest
from cspops.intake.rows import ROWS, Inspected, Source, batch
from cspops.pixels.reading import Reading

prop = settings(deadline=None, derandomize=True, max_examples=40)
FILES = ["classes.json", "files.json", "images.json", "observations.parquet", "rejected.parquet"]
USUAL = {
    "inspect": None,
    "min_class_size": 1,
    "max_rejected": None,
    "bad_position": "set_aside",
    "duplicate_images": "set_aside",
    "merge_labels": True,
    "max_uncertainty_m": None,
}


def picture(name="P6"):
    return {"bytes": name.encode(), "path": None}


def row(obs_id, **change):
    return {
        "where": f"t.csv:{obs_id}",
        "obs_id": obs_id,
        "lon": "10",
        "lat": "50",
        "label": "oak",
        "image": picture(str(obs_id)),
    } | change


def batches(rows, size=None):
    """Batches of ``size`` rows; a row gives some columns."""
    size = size or max(1, len(rows))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        names = [name for name in ROWS.names if any(name in one for one in part)]
        kinds = {name: pa.string() if name in ("lon", "lat") else ROWS.field(name).type for name in names}
        if any(isinstance(one.get(axis), float) for one in part for axis in ("lon", "lat")):
            kinds |= dict.fromkeys(("lon", "lat"), pa.float64())
        yield batch({name: pa.array([one.get(name) for one in part], kinds[name]) for name in names})


def taken_in(source, out, **arguments):
    rules = Rules(**{field.name: arguments.pop(field.name) for field in fields(Rules)})
    return ingest(source, out, rules, **arguments)


class Made:
    """What `ingest` makes of rows, read back."""

    def __init__(self, rows, folder: Path, *, size=None, source=None, **change):
        folder.mkdir(exist_ok=True)
        self.said: list[str] = []
        scratch = folder.parent / "scratch"
        about = {"inspection": "none"} | (source or {})
        arguments = USUAL | {"scratch": scratch} | change
        with told(self.said.append):
            self.account = taken_in(Source(batches(rows, size), **about), folder, **arguments)
        assert sorted(file.name for file in folder.iterdir()) == FILES
        assert not list(scratch.iterdir()), "the spool file is left"
        self.table = pq.read_table(folder / "observations.parquet")
        self.observations = self.table.to_pylist()
        self.rejected = pq.read_table(folder / "rejected.parquet").to_pylist()
        self.classes = json.loads((folder / "classes.json").read_text())
        self.bytes = {name: (folder / name).read_bytes() for name in FILES}

    @property
    def ids(self):
        return [one["obs_id"] for one in self.observations]

    def label(self, obs_id):
        label = next(one["label"] for one in self.observations if one["obs_id"] == obs_id)
        return None if label is None else self.classes[label]


GOOD = [row("g0"), row("g1", label="elm"), row("g2", lon=None, lat=None), row("g3", label=None)]
nan, inf = float("nan"), float("inf")


# --- rows that are set aside: a row, its reason, its detail

NO_IMAGE = "no image: neither bytes nor path"
BAD = {
    "no id": (row(None), "obs_id is missing", None),
    "empty id": (row(""), "obs_id is missing", None),
    "blank id": (row(" "), "obs_id is missing", None),
    "id of an earlier row": (row("g0", label="elm", image=picture("x")), "obs_id is used by an earlier row", "t.csv:g0"),
    "longitude alone": (row("b", lat=None), "only one of longitude and latitude is given", "10"),
    "latitude alone": (row("b", lon="  "), "only one of longitude and latitude is given", "50"),
    "longitude nan": (row("b", lon="nan"), "longitude is not a finite number", "nan"),
    "latitude infinite": (row("b", lat="-inf"), "latitude is not a finite number", "-inf"),
    "too far north": (row("b", lat="90.001"), "latitude is outside [-90, 90]", "90.001"),
    "too far south": (row("b", lat="-90,001"), "latitude is outside [-90, 90]", "-90,001"),
    "too far west": (row("b", lon="-180.001"), "longitude is outside [-180, 360]", "-180.001"),
    "too far east": (row("b", lon="360.001"), "longitude is outside [-180, 360]", "360.001"),
    "text for a longitude": (row("b", lon="west"), "longitude is not a number", "west"),
    "long text for a latitude": (row("b", lat="x\n" * 90), "latitude is not a number", "x " * 38 + "x..."),
    "80 characters, more in bytes": (row("b", lat="ü" * 80), "latitude is not a number", "ü" * 80),
    "81 characters": (row("b", lat="ü" * 81), "latitude is not a number", "ü" * 77 + "..."),
    "null island": (row("b", lon="0.0", lat="-0"), "position is (0, 0)", "0.0, -0"),
    "letter of the other axis": (row("b", lon="10N"), "longitude has a hemisphere letter that is not E or W", "10N"),
    "sign against letter": (row("b", lat="-5 N"), "latitude has a sign that contradicts its hemisphere letter", "-5 N"),
    "minutes beyond 60": (row("b", lat="5°75'N"), "latitude has minutes or seconds of more than 60", "5°75'N"),
    "null image": (row("b", image=None), NO_IMAGE, None),
    "empty image": (row("b", image={"bytes": None, "path": None}), NO_IMAGE, None),
    "image without a byte": (row("b", image={"bytes": b"", "path": None}), NO_IMAGE, None),
    "blank path": (row("b", image={"bytes": None, "path": " "}), NO_IMAGE, None),
    "unknown split": (
        row("b", official_split="fold 3"),
        "its split is not one of train, val, test, spatial_val, spatial_test",
        "fold 3",
    ),
    "the source's reason": (row("b", reason="its table has no such line", detail="17"), "its table has no such line", "17"),
    "path of an earlier image": (
        row("b", image={"bytes": None, "path": "p"}),
        "the same image bytes as another row",
        "t.csv:p",
    ),
    # The first reason found is the one that is given.
    "no id and no image": (row(None, image=None), "obs_id is missing", None),
    "nothing at all": ({"where": "t.csv:9"}, "obs_id is missing", None),
    "a reason and a position": (row("b", reason="its file is broken", lat="99"), "its file is broken", None),
}
PATH = row("p", image={"bytes": None, "path": "p"})


@pytest.mark.parametrize("size", [1, 2, None])
def test_every_bad_row_is_set_aside_with_its_reason_and_no_other_row_is(size, tmp_path):
    """Ids and images apart, so that each row has its own fault only."""
    own = [
        bad | {"obs_id": bad["obs_id"].replace("b", f"b{i}")} if bad.get("obs_id") else bad
        for i, (bad, *_) in enumerate(BAD.values())
    ]
    made = Made([*GOOD[:2], PATH, *own, *GOOD[2:]], tmp_path / "out", size=size)
    assert made.ids == ["g0", "g1", "p", "g2", "g3"]
    assert [(one["row"], one["where"], one["obs_id"]) for one in made.rejected] == [
        (number, one["where"], one.get("obs_id")) for number, one in enumerate(own, 3)
    ]
    assert [(one["reason"], one["detail"]) for one in made.rejected] == [(reason, detail) for _, reason, detail in BAD.values()]
    expected = Counter(reason for _, reason, _ in BAD.values())
    assert made.account.reasons == expected
    assert list(made.account.reasons.values()) == sorted(expected.values(), reverse=True)
    assert made.account.rows == len(own) + 5 == made.account.observations + made.account.rejected


# --- rows that are kept with a note: what the row gives, the note, what is kept

KEPT = {
    "decimal comma": ({"lat": "43,5"}, "position with a decimal comma", {"lat": 43.5}),
    "degrees, minutes": ({"lat": "43°30'0\"N"}, "position in degrees, minutes and seconds", {"lat": 43.5}),
    "unicode minus": ({"lat": "\N{MINUS SIGN}43.5"}, positions.MARKS, {"lat": -43.5}),
    "blanks": ({"lat": " 43.5"}, "position with blanks around it", {"lat": 43.5}),
    "0 to 360": ({"lon": "190"}, "longitude of more than 180, brought into [-180, 180)", {"lon": -170.0}),
    "label with blanks": ({"label": " oak "}, labels.RESPELLED, {"label": 1}),
    "capitals": ({"label": "OAK"}, labels.MERGED, {"label": 1}),
    "no date": ({"captured_at": "in May"}, "captured_at is not a date that is understood, left out", {"captured_at": None}),
    "the source's note": ({"notes": ["its date is from EXIF", "its date is from EXIF"]}, "its date is from EXIF", {}),
}  # fmt: skip


def test_odd_rows_are_kept_with_a_note_and_notes_of_rows_set_aside_are_not_counted(tmp_path):
    odd = [row(name, **given) for name, (given, _, _) in KEPT.items()]
    made = Made([*GOOD, *odd, row(None, lat="43,5")], tmp_path / "out")
    assert len(made.rejected) == 1 and made.classes == ["elm", "oak"]
    assert made.account.notes == {note: 1 for _, note, _ in KEPT.values()}
    for (_, note, kept), observation in zip(KEPT.values(), made.observations[len(GOOD) :], strict=True):
        assert {key: observation[key] for key in kept} == kept
        assert f"note on 1 rows: {note}" in made.said


FEATURES = {"path": "f.npy", "row": 3}
CROPS = [{"left": 0, "top": 0, "right": 4, "bottom": side} for side in (4, 5)]
QUIET = {
    "no label": ({"label": None}, {"label": None}),
    "blank label": ({"label": " \t"}, {"label": None}),
    "no split": ({"official_split": " "}, {"official_split": None}),
    "split by another name": ({"official_split": "Validation"}, {"official_split": "val"}),
    "place with blanks": ({"location_id": " L1 "}, {"location_id": "L1"}),
    "blank place": ({"location_id": ""}, {"location_id": None}),
    "date": ({"captured_at": "2020:02:29 12:00:00"}, {"captured_at": datetime(2020, 2, 29, 12, tzinfo=UTC)}),
    "180 degrees": ({"lon": "180"}, {"lon": -180.0}),
    "pole": ({"lat": "90"}, {"lat": 90.0}),
    "a path": ({"image": {"bytes": None, "path": "a/b.jpg"}}, {"image": {"bytes": None, "path": "a/b.jpg"}}),
    "features alone": ({"image": None, "image_features": FEATURES}, {"image_features": FEATURES}),
    "crop": ({"crop": CROPS[0]}, {"crop": CROPS[0]}),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_a_row_is_kept_without_a_word(name, tmp_path):
    given, kept = QUIET[name]
    made = Made([*GOOD, row("odd", **given)], tmp_path / "out")
    assert made.rejected == [] and made.account.notes == {}
    assert {key: made.observations[-1][key] for key in kept} == kept
    extra = [name for name in OPTIONAL.names if name in kept]
    assert made.table.schema == pa.schema([*SCHEMA, *(OPTIONAL.field(name) for name in extra)]), (
        "columns without a value are left out"
    )


def test_wrong_positions_can_be_left_out_instead(tmp_path):
    wrong = [(bad, reason) for bad, reason, _ in BAD.values() if "itude" in reason or "position" in reason]
    own = [bad | {"obs_id": f"b{i}", "image": picture(f"b{i}")} for i, (bad, _) in enumerate(wrong)]
    made = Made([*GOOD, *own], tmp_path / "out", bad_position="without_position")
    assert made.rejected == []
    assert {(one["lon"], one["lat"]) for one in made.observations[len(GOOD) :]} == {(None, None)}
    assert made.account.notes == Counter(f"kept without its position: {reason}" for _, reason in wrong)
    assert made.account.without_position == 1 + len(wrong)


# --- images


def inspected(images):
    """Hashes the bytes; `bad` cannot be read."""
    content = [one["bytes"] if one else None for one in images.to_pylist()]
    bad = [one == b"bad" for one in content]
    sums = [None if one is None or wrong else hashlib.sha256(one).hexdigest() for one, wrong in zip(content, bad, strict=True)]
    reason = ["the image cannot be read" if wrong else None for wrong in bad]
    detail = ["not an image" if wrong else None for wrong in bad]
    return Inspected(*(pa.array(one, pa.string()) for one in (sums, reason, detail)))


def twins(*changes):
    return [row(f"r{i}", image=picture("twin"), **change) for i, change in enumerate(changes)]


SAME = "the same image bytes as another row"
LEAK = f"{SAME}, in another split (leakage)"
TWINS = {
    "the first stays": (twins({}, {}, {}), ["r0"], [SAME, SAME], "t.csv:r0"),
    "the held-out one stays": (twins({"official_split": "train"}, {"official_split": "test"}), ["r1"], [LEAK], "t.csv:r1"),
    "no split is no other split": (twins({}, {"official_split": "test"}), ["r1"], [SAME], "t.csv:r1"),
    "the labelled one stays": (twins({"label": None}, {}), ["r1"], [SAME], "t.csv:r1"),
    "the located one stays": (twins({"lon": None, "lat": None}, {}), ["r1"], [SAME], "t.csv:r1"),
    "two labels: none stays": (twins({}, {"label": "elm"}), [], [f"{SAME}, under another label"] * 2, None),
    "one label in two spellings": (twins({}, {"label": " Oak"}), ["r0"], [SAME], "t.csv:r0"),
    "other crops of one image": (twins({"crop": CROPS[0]}, {"crop": CROPS[1]}), ["r0", "r1"], [], None),
    "one crop twice": (twins({"crop": CROPS[0]}, {"crop": CROPS[0]}), ["r0"], [SAME], "t.csv:r0"),
    "a twin that is set aside is no twin": (twins({"lat": "99"}, {}), ["r1"], ["latitude is outside [-90, 90]"], None),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_the_same_image_twice(name, tmp_path):
    rows, stay, reasons, other = TWINS[name]
    made = Made([*GOOD, *rows], tmp_path / "out", inspect=inspected)
    assert made.ids == ["g0", "g1", "g2", "g3", *stay]
    assert [one["reason"] for one in made.rejected] == reasons
    if other:
        assert {one["detail"] for one in made.rejected} == {other}
    keeping = Made([*GOOD, *rows], tmp_path / "keep", inspect=inspected, duplicate_images="keep")
    same = [reason for reason in reasons if reason.startswith(SAME)]
    assert {note: count for note, count in keeping.account.notes.items() if note.startswith(SAME)} == Counter(same)
    assert keeping.account.rejected == len(reasons) - len(same)


def test_images_are_inspected_once_unless_their_row_is_set_aside_before(tmp_path):
    seen = []

    def spy(images):
        seen.extend(one["bytes"] for one in images.to_pylist())
        return inspected(images)

    rows = [row("a"), row(None), row("c", lat="99"), row("d", image=picture("bad")), row("e")]
    made = Made(rows, tmp_path / "out", inspect=spy, size=2)
    assert seen == [b"a", b"bad", b"e"]
    assert made.ids == ["a", "e"]
    assert made.rejected[-1] == {
        "row": 3,
        "where": "t.csv:d",
        "obs_id": "d",
        "reason": "the image cannot be read",
        "detail": "not an image",
    }
    assert made.table["image_sha256"].to_pylist() == [hashlib.sha256(name).hexdigest() for name in (b"a", b"e")]


# --- classes


def test_rows_of_a_small_class_are_set_aside(tmp_path):
    rows = [row("a"), row("b", label="elm"), row("c"), row("d", label=None), row("e", label="elm", image=None)]
    made = Made(rows, tmp_path / "out", min_class_size=2)
    assert [(one["row"], one["reason"], one["detail"]) for one in made.rejected] == [
        (1, "its class has fewer than 2 observations", "elm"),
        (4, NO_IMAGE, None),  # and so elm has one left
    ]
    assert made.ids == ["a", "c", "d"], "a row without a label is in no class"
    assert made.classes == ["oak"] and made.account.classes == {"oak": 2}


def test_spellings_become_one_class(tmp_path):
    rows = [
        row("a", label="white oak"),
        row("b", label="White  Oak"),
        row("c", label="white\u00a0oak "),
        row("d", label="WHITE OAK"),
    ]
    rows += [row("e", label="cha\u0302ne"), row("f", label="ch\u00e2ne")]
    made = Made(rows, tmp_path / "merged")
    assert made.classes == ["ch\u00e2ne", "white oak"] and made.account.classes == {"ch\u00e2ne": 2, "white oak": 4}
    assert any("'WHITE OAK' (1) and 'white oak' (2)" in warning for warning in made.account.warnings)
    apart = Made(rows, tmp_path / "apart", merge_labels=False)
    assert apart.classes == ["WHITE OAK", "White Oak", "ch\u00e2ne", "white oak"]
    assert [apart.label(one) for one in "abcdef"] == [
        "white oak",
        "White Oak",
        "white oak",
        "WHITE OAK",
        "ch\u00e2ne",
        "ch\u00e2ne",
    ]
    assert any("dataset.merge_labels" in warning for warning in apart.account.warnings)


def test_a_spelling_of_rows_set_aside_does_not_win(tmp_path):
    rows = [row("a", label="Oak"), *(row(f"b{i}", label="oak", lat="99") for i in range(3))]
    made = Made(rows, tmp_path / "out")
    assert made.classes == ["Oak"] and not any("differ in case" in warning for warning in made.account.warnings)


def test_classes_with_one_example_and_the_sources_remarks_are_warned_of(tmp_path):
    rows = [row(f"r{i}", label=f"class {i:02d}") for i in range(12)] + [row("x", label="class 00")]
    made = Made(rows, tmp_path / "out", source={"remarks": ["t.csv: cp1252, not UTF-8"]})
    names = ", ".join(f"'class {i:02d}'" for i in range(1, 11))
    assert made.account.warnings == ["t.csv: cp1252, not UTF-8", f"11 of 12 classes have one observation: {names} and 1 more"]
    assert made.said[-len(made.account.warnings) :] == made.account.warnings


def test_exchanged_columns_are_warned_of_and_left_as_they_are(tmp_path):
    rows = [row(f"r{i}", lon=f"{30 + i}", lat=f"{100 + i}") for i in range(3)] + [row(f"s{i}") for i in range(20)]
    made = Made(rows, tmp_path / "out", source={"columns": "dataset.table.columns"})
    [said] = [warning for warning in made.account.warnings if "3 of 23 positions (13.0%)" in warning]
    assert said.endswith("if so, exchange lon and lat in dataset.table.columns of params.yaml")
    assert made.account.reasons == {"latitude is outside [-90, 90]": 3}


def test_a_set_without_any_position_is_warned_of(tmp_path):
    """One position is enough, but not one of a row that is set aside; the source says what to do."""
    rows = [row(f"r{i}", lon=None, lat=None) for i in range(3)]
    for number, (more, warned) in enumerate(
        [([], True), ([row("x")], False), ([row("x", image=None)], True), ([row("x", lat="99")], True)]
    ):
        made = Made(rows + more, tmp_path / f"out{number}", source={"unplaced": "name its columns"})
        said = [warning for warning in made.account.warnings if "no row has a position" in warning]
        assert said == ["no row has a position: stage pretrain will stop; name its columns"] * warned


def test_rows_of_uncertain_positions_are_kept_or_set_aside_by_the_limit(tmp_path):
    """A row without a position has none that is uncertain."""
    metres = {"a": 10.0, "b": 1000.0, "c": 1000.5, "d": math.inf, "e": None}
    rows = [row(name, uncertainty_m=value) for name, value in metres.items()]
    rows.append(row("f", lon=None, lat=None, uncertainty_m=5000.0))
    whole = Made(rows, tmp_path / "whole")
    assert whole.table["uncertainty_m"].to_pylist() == [*metres.values(), None]
    limited = Made(rows, tmp_path / "limited", max_uncertainty_m=1000.0)
    assert limited.ids == ["a", "b", "e", "f"]
    assert [(one["obs_id"], one["reason"], one["detail"]) for one in limited.rejected] == [
        ("c", first_pass.UNCERTAIN, "1000.5 m"),
        ("d", first_pass.OBSCURED, None),
    ]
    without = Made([row("a"), row("b")], tmp_path / "without", max_uncertainty_m=1000.0)
    assert without.ids == ["a", "b"] and "uncertainty_m" not in without.table.column_names


def test_a_date_that_is_no_month_is_noted_apart(tmp_path):
    rows = [row("a", captured_at="2020"), row("b", captured_at="2020-05"), row("c", captured_at="May")]
    made = Made(rows, tmp_path / "out")
    assert made.account.notes == {labels.NO_MONTH: 1, labels.NOT_UNDERSTOOD: 1}
    assert [one["captured_at"] is None for one in made.observations] == [True, False, True]


def test_a_set_without_labels_is_a_set(tmp_path):
    made = Made([row("a", label=None), row("b", label="")], tmp_path / "out", max_rejected=0.0)
    assert made.account.observations == made.account.without_label == 2 and made.classes == []
    assert any("no row has a label" in warning for warning in made.account.warnings)


# --- refusals


def refused(rows, folder, match, **change):
    folder.mkdir()
    with pytest.raises(DataError, match=match) as caught:
        taken_in(Source(batches(rows), inspection="none"), folder, **USUAL | {"scratch": folder.parent / "scratch"} | change)
    assert list(folder.iterdir()) == [] and list((folder.parent / "scratch").iterdir()) == []
    assert caught.value.hint == "cspops data check"
    return caught.value.message


def test_too_many_rows_set_aside(tmp_path):
    rows = [row(f"g{i}") for i in range(7)] + [row("x", lat="99"), row("y", lat="98"), row("z", lon="far")]
    message = refused(rows, tmp_path / "out", "3 of 10 rows were set aside", max_rejected=0.29)
    assert message.splitlines() == [
        "3 of 10 rows were set aside (30.0%), more than dataset.max_rejected allows (29.0%):",
        "  2: latitude is outside [-90, 90] (first t.csv:x: 99)",
        "  1: longitude is not a number (first t.csv:z: far)",
    ]
    assert Made(rows, tmp_path / "just", max_rejected=0.3).account.rejected == 3


def test_ten_reasons_are_given_and_the_others_counted(tmp_path):
    rows = [row(f"r{i}", reason=f"reason {i:02d}") for i in range(12) for _ in range(12 - i)] + [row("good")]
    lines = refused(rows, tmp_path / "out", "78 of 79 rows", max_rejected=0.5).splitlines()
    assert [line.split(" (")[0] for line in lines[1:-1]] == [f"  {12 - i}: reason {i:02d}" for i in range(10)]
    assert lines[-1] == "  and 2 more reasons"


UNLABELLED = [row("a"), row("b", label=None)]
NOTHING_LEFT = {
    "the source gives no row": ([], {}),
    "no observation is left: 1 of 1 rows .* latitude": ([row("a", label=None, lat="99")], {}),
    "no class is left: 1 of 2 rows were set aside, most because its class": (UNLABELLED, {"min_class_size": 2}),
}


@pytest.mark.parametrize("says", NOTHING_LEFT)
def test_nothing_left_is_refused(says, tmp_path):
    rows, changes = NOTHING_LEFT[says]
    refused(rows, tmp_path / "out", says, max_rejected=1.0, **changes)


@pytest.mark.parametrize("rows", [[], [row("a", lat="99")], [row(None), row("b", image=None)]], ids=len)
def test_without_a_limit_nothing_is_refused(rows, tmp_path):
    made = Made(rows, tmp_path / "out")
    assert made.observations == [] and len(made.rejected) == len(rows) == made.account.rows
    assert made.table.schema == SCHEMA


def test_a_source_that_breaks_off_leaves_nothing(tmp_path):
    def broken():
        yield from batches(GOOD)
        raise DataError("photos.csv:17: broken")

    with pytest.raises(DataError, match="photos"):
        taken_in(Source(broken()), tmp_path, **USUAL | {"scratch": tmp_path / "scratch"})
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    (tmp_path / "out").mkdir()
    with pytest.raises(EnvironmentProblem, match=r"(?m)/out cannot be written: No space left on device$") as caught:
        taken_in(Source(batches(GOOD)), tmp_path / "out", **USUAL | {"scratch": tmp_path / "scratch"})
    assert caught.value.hint == f"free some space there, or see who may write into {tmp_path / 'out'}"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("when", ["opening", "writing", "closing"])
def test_a_disk_that_is_full_before_the_catalogue_leaves_nothing(tmp_path, monkeypatch, when):
    """Writes of a real file fail beyond a limit; it cannot be opened."""
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    out.mkdir()

    def full(*_args):
        raise OSError(28, "No space left on device")

    rows = [row(f"r{number}", image=picture("x" * 4000)) for number in range(8)]
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # the rows take more than 32000 bytes
    limit = {"opening": old[0], "writing": 20_000, "closing": spooled_without_end(rows, tmp_path)}[when]
    if when == "opening":
        monkeypatch.setattr(pa, "OSFile", full)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        with pytest.raises(EnvironmentProblem, match=r"/scratch cannot be written: ") as caught:
            taken_in(Source(batches(rows)), out, **USUAL | {"scratch": scratch})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.hint == f"free some space there, or see who may write into {scratch}"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def spooled_without_end(rows, folder):
    """Bytes of the spool file before its footer is written."""
    file = folder / "measured"
    with pa.OSFile(str(file), "wb") as opened:
        writer = pa.ipc.new_file(opened, first_pass.SPOOLED)
        for one in batches(rows):
            writer.write_batch(first_pass._heavy(one))
        size = opened.tell()
        writer.close()
    file.unlink()
    return size


@pytest.mark.parametrize("where", ["batches", "inspect"])
def test_an_error_of_the_source_is_not_taken_for_a_full_disk(tmp_path, where):
    def fails(*_args):
        raise OSError(5, "Input/output error", "photos/a.jpg")

    def broken():
        yield from batches(GOOD)
        fails()

    source = Source(broken() if where == "batches" else batches(GOOD))
    with pytest.raises(OSError, match=r"photos/a\.jpg"):
        taken_in(
            source, tmp_path, **USUAL | {"scratch": tmp_path / "scratch", "inspect": fails if where == "inspect" else None}
        )
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


# --- files and lines


def test_what_is_written_and_said(tmp_path):
    reading = Reading(root="data_root", folder="photos", bands=(4, 3, 2), white=3000.0)
    files = {"t.csv": {"size": 9, "sha256": "00"}, "a.csv": {"licence": "CC0"}}
    rows = [*GOOD, row("ü", label="Bäume", official_split="val"), row("bad", lat="99")]
    made = Made(rows, tmp_path / "out", source={"reading": reading, "files": files})
    assert json.loads(made.bytes["images.json"]) == reading.as_json() | {"bands": [4, 3, 2]}
    assert list(json.loads(made.bytes["files.json"]).items()) == sorted(files.items())
    assert "Bäume" in made.bytes["classes.json"].decode()
    assert pq.read_table(tmp_path / "out/rejected.parquet").schema == REJECTED_SCHEMA
    read = read_observations(tmp_path / "out")
    assert read.obs_id == ["g0", "g1", "g2", "g3", "ü"] and read.label.tolist() == [2, 1, 2, -1, 0]
    account = made.account
    assert account.as_json()["classes"] == {"Bäume": 1, "elm": 1, "oak": 2}
    assert account.official_split == {"val": 1, "none": 4}
    assert (account.rows, account.without_position, account.without_label) == (6, 1, 1)
    assert made.said[:3] == [
        "5 observations of 3 classes: {'val': 1, 'none': 4}",
        "1 of them without a position, 1 without a label",
        "1 rows set aside; 1: latitude is outside [-90, 90]",
    ]


def test_row_groups_end_by_rows_or_by_bytes(tmp_path, monkeypatch):
    """Groups of 4 rows, or of the rows that make up 10 bytes of images: 3 bytes a row, so the 4th row ends both."""
    monkeypatch.setattr(catalogue_writer, "ROW_GROUP", 4)
    for limit, sizes in ((100, [4, 4, 3]), (10, [4, 4, 3]), (9, [3, 3, 3, 2]), (1, [1] * 11)):
        monkeypatch.setattr(catalogue_writer, "ROW_GROUP_BYTES", limit)
        for size in (1, 2, 5, 11):
            out = tmp_path / f"{limit}-{size}"
            Made([row(f"{i:03d}") for i in range(11)], out, size=size)
            about = pq.ParquetFile(out / "observations.parquet").metadata
            assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == sizes
            assert [one["bytes"] for one in read_images(out, range(2, 9))["image"].to_pylist()] == [
                f"{i:03d}".encode() for i in range(2, 9)
            ]


def test_the_file_is_what_one_table_would_be(tmp_path):
    """More rows than a row group: byte by byte what pyarrow writes of the whole table."""
    n = 9000
    ids = [f"r{i}" for i in range(n)]
    columns = {
        "where": ids,
        "obs_id": ids,
        "lon": pa.array(np.linspace(-170, 170, n)),
        "lat": pa.array(np.linspace(-80, 80, n)),
    }
    columns |= {"label": [f"c{i % 7}" for i in range(n)], "image": [picture(f"image {i}") for i in range(n)]}
    whole = batch(columns)
    pieces = iter([whole.slice(start, 1111) for start in range(0, n, 1111)])
    taken_in(Source(pieces), tmp_path, **USUAL | {"scratch": tmp_path / "scratch"})
    table = pq.read_table(tmp_path / "observations.parquet")
    assert table["lon"].to_pylist() == whole["lon"].to_pylist() and table["image"].to_pylist() == whole["image"].to_pylist()
    expected = tmp_path / "expected.parquet"
    pq.write_table(table.combine_chunks(), expected, compression="zstd", row_group_size=8192)
    assert (tmp_path / "observations.parquet").read_bytes() == expected.read_bytes()


# --- nothing is lost, and batches do not matter

texts = st.sampled_from([None, "", "0", "12.5", "90", "-90", "180", "200", "361", "12,5", "12°30'", "x", "nan", " 7"])
rows_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {
            "obs_id": st.sampled_from([None, "", "a", "b", "c"]) | st.integers(0, 50).map(str),
            "lon": texts,
            "lat": texts,
            "label": st.sampled_from([None, "", "x", "X", " x", "y", "y  z", "Y z"]),
            "captured_at": st.sampled_from([None, "2020-01-01", "soon"]),
            "official_split": st.sampled_from([None, "train", "Test", "validation", "fold"]),
            "image": st.sampled_from([None, {"bytes": None, "path": "p"}, {"bytes": None, "path": None}, picture("bad")])
            | st.integers(0, 9).map(lambda i: picture(f"i{i}")),
            "crop": st.sampled_from([None, None, CROPS[0]]),
            "reason": st.sampled_from([None, None, None, "its file is gone"]),
            "notes": st.sampled_from([None, [], ["odd"], ["odd", "older"]]),
        }
    ),
    max_size=20,
)


@prop
@given(
    rows_of_any_kind,
    st.integers(1, 7),
    st.integers(1, 3),
    st.sampled_from(["set_aside", "without_position"]),
    st.sampled_from(["set_aside", "keep"]),
    st.booleans(),
)
def test_every_row_ends_in_exactly_one_table_whatever_the_batches(tmp_path_factory, rows, size, least, position, twice, merge):
    rows = [one | {"where": f"t:{i}"} for i, one in enumerate(rows)]
    folder = tmp_path_factory.mktemp("any")
    rules = {
        "min_class_size": least,
        "bad_position": position,
        "duplicate_images": twice,
        "merge_labels": merge,
        "inspect": inspected,
    }
    made = Made(rows, folder / "pieces", size=size, **rules)
    whole = Made(rows, folder / "whole", **rules)
    assert made.bytes == whole.bytes and made.account == whole.account and made.said == whole.said

    # Row numbers of the rejected rows and, in order, the observations make up the input.
    out = [one["row"] for one in made.rejected]
    assert out == sorted(set(out)) and all(one["reason"] for one in made.rejected)
    assert [one["where"] for one in made.rejected] == [f"t:{i}" for i in out]
    kept = [one for i, one in enumerate(rows) if i not in set(out)]
    assert made.ids == [one["obs_id"] for one in kept]
    assert [one["image"] for one in made.observations] == [one["image"] for one in kept]
    assert len(set(made.ids)) == len(made.ids) and all(made.ids)
    assert made.account.rows == len(rows) and made.account.rejected == len(out)
    assert sum(made.account.reasons.values()) == len(out) == len(rows) - made.account.observations

    for before, after in zip(kept, made.observations, strict=True):
        assert (after["lon"] is None) == (after["lat"] is None)
        if after["lon"] is not None:
            assert -180 <= after["lon"] < 180 and -90 <= after["lat"] <= 90
        elif position == "set_aside":
            assert not before["lon"] and not before["lat"]
        assert (after["label"] is None) == (not before["label"])
        if after["label"] is not None:
            same = " ".join(before["label"].split())
            assert made.classes[after["label"]].casefold() == same.casefold() and (
                merge or made.classes[after["label"]] == same
            )
        assert (after["official_split"] is None) == (before["official_split"] is None)

    # Labels are dense: every class has rows, at least `least` of them, and the names are in order.
    sizes = Counter(one["label"] for one in made.observations if one["label"] is not None)
    assert set(sizes) == set(range(len(made.classes)))
    assert all(size >= least for size in sizes.values())
    assert made.classes == sorted(set(made.classes))
    assert made.account.classes == {name: sizes[code] for code, name in enumerate(made.classes)}
    if twice == "set_aside":
        pictures = [(one["image"]["bytes"], one["image"]["path"], str(one.get("crop"))) for one in made.observations]
        assert len(set(pictures)) == len(pictures)
