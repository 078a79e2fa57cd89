"""What a finished run is made of, damaged file by file: each command that reads it says so in one sentence."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import Command, command_line
from location_runs import write_run
from PIL import Image
from safetensors.torch import load_file, save_file

import cspops
from cspops.artefacts import json_text_as
from cspops.commands.exported_folder import Contents
from cspops.commands.exported_folder import run as export
from cspops.data.schemas import SCHEMA
from cspops.errors import DataError
from cspops.evaluation.metrics import MODELS
from cspops.evaluation.predictions import schema

ROWS = 12


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of random models on twelve rows, an export of it, and photos to score."""
    folder = tmp_path_factory.mktemp("project")
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "start"]):  # `versus` asks git first
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / ".dvc").mkdir()
    artifacts, draws = folder / "artifacts", np.random.default_rng(0)
    write_run(artifacts, seeds=(0, 1))
    ids = [f"o{row}" for row in range(ROWS)]
    catalogue = {name: [None] * ROWS for name in SCHEMA.names}
    catalogue |= {
        "obs_id": ids,
        "lon": [8.0 + row for row in range(ROWS)],
        "lat": [40.0] * ROWS,
        "label": [row % 3 for row in range(ROWS)],
    }
    pq.write_table(pa.table(catalogue, SCHEMA), artifacts / "download" / "observations.parquet")
    (artifacts / "split").mkdir()
    few = {"obs_id": ids, "seed_0": pa.array([1.0] * ROWS, pa.float32()), "seed_1": pa.array([1.0] * ROWS, pa.float32())}
    pq.write_table(pa.table(few), artifacts / "split" / "few_shot.parquet")
    pq.write_table(pa.table({"obs_id": ids, "role": ["train"] * ROWS}), artifacts / "split" / "roles.parquet")
    every = {"seed": [0] * ROWS + [1] * ROWS, "label_ratio": [1.0] * 2 * ROWS, "role": ["test"] * 2 * ROWS}
    every |= {"obs_id": ids * 2, "label": [row % 3 for row in range(ROWS)] * 2} | {
        model: [[0, 1, 2]] * 2 * ROWS for model in MODELS
    }
    every |= {f"{model}_{kind}": [-1.0] * 2 * ROWS for model in MODELS for kind in ("log_p", "confidence")}
    pq.write_table(pa.table(every, schema(MODELS)), artifacts / "evaluate" / "predictions.parquet")
    scores = {model: {name: {"mean": 1.0, "sd": 0.0} for name in ("top1", "nll", "ece")} for model in MODELS}
    region = {"rows": 3, "image": 1.0, "location": 1.0, "combined": 1.0, "pool": 1.0, "gain": 0.0}
    places = {
        "latitude": [{"from": -15, "to": 0} | region],
        "cell": [{"west": 0, "east": 30, "south": 0, "north": 30} | region],
        "distance": [{"from": 800.0, "to": None} | region],
    }
    (folder / "reports").mkdir()
    (folder / "reports" / "scores.json").write_text(json.dumps({"test": {"label_100": scores}}))
    gap = {"pool_minus_image": {"mean": 0.0, "low": -1.0, "high": 1.0, "rows": 3, "seeds": 2}}
    (folder / "reports" / "intervals.json").write_text(json.dumps({"test": {"label_100": gap}}))
    (folder / "reports" / "regions.json").write_text(json.dumps({"test": {"label_100": places}}))
    (folder / "photos" / "fir").mkdir(parents=True)
    Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / "photos" / "fir" / "a.png")
    export(artifacts, folder / "EXPORT", Contents(onnx=False))
    return folder


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(project)
    monkeypatch.setenv("CSPOPS_DEVICE", "cpu")
    return command_line(monkeypatch, capsys)


PREDICT = "predict photos/fir/a.png --lon 8 --lat 47 --format jsonl"
TRUST = f"{PREDICT} --trust"
EXPORTED = f"{TRUST} --model EXPORT"
EMBED = "embed --lon 8 --lat 47 --out e.npy --model artifacts/pretrain/seed_0"
MAP = "map fir --out map.tif --grid 30"
ON = "evaluate --on photos --by region"
SHOW = "evaluate --show --by region"
PER_CLASS = "evaluate --show --per-class"
VERSUS = "versus HEAD"
EXPORT = "export --out again --no-onnx"
COMMANDS = (PREDICT, TRUST, EXPORTED, EMBED, MAP, ON, SHOW, PER_CLASS, "evaluate --show --json", EXPORT)


@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("words", COMMANDS)
def test_the_whole_run_is_read(run: Command, project: Path, words: str) -> None:
    status, _, err = run(*words.split())
    assert (status, err.count("error:")) == (0, 0), err
    shutil.rmtree(project / "again", ignore_errors=True)


Damage = Callable[[Path], None]


def text(content: str) -> Damage:
    return lambda file: file.write_text(content) and None


def changed(**values: Any) -> Damage:
    """Set keys of a JSON file, `a__b` for b in a; None takes the key away."""

    def damage(file: Path) -> None:
        content = json.loads(file.read_text())
        for path, value in values.items():
            *parents, last = path.split("__")
            at = content
            for parent in parents:
                at = at[parent]
            at.pop(last) if value is None else at.update({last: value})
        file.write_text(json.dumps(content))

    return damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def gone(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def times(factor: float) -> Damage:
    def damage(file: Path) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
        for tensor in tensors.values():
            if tensor.is_floating_point():
                tensor.mul_(factor)
        save_file(tensors, file)

    return damage


def of_another_shape(file: Path) -> None:
    save_file({name: torch.zeros(7, 7) for name in load_file(file)}, file)


def column(name: str, values: Any) -> Damage:
    def damage(file: Path) -> None:
        table = pq.read_table(file)
        place = table.schema.get_field_index(name)
        new = table.remove_column(place) if values is None else table.set_column(place, name, pa.array([values] * len(table)))
        pq.write_table(new, file)

    return damage


BRACKETS = text("[" * 100_000)
HUGE = "1" + "0" * 400
PIECE = "artifacts/finetune_loc/seed_0/label_100"
POOL = "artifacts/evaluate/seed_0/label_100"
HEAD = "artifacts/finetune_img/seed_0/label_100"
FSTAR = "artifacts/pretrain_img"
AGAIN, EVALUATE, SPLIT, DOWNLOAD = "copy the whole folder again", "dvc repro evaluate", "dvc repro split", "dvc repro download"
NAN, INF = float("nan"), float("inf")
OTHER_JSON = [text("[]"), text("3.5"), BRACKETS, a_folder]
NO_COLUMN = pa.scalar(None, pa.int32())
NO_POOL = [
    *(*OTHER_JSON, text("{}"), text(HUGE), cut, empty, changed(image=3), changed(place=[1.0]), changed(image_alone=None)),
    *(
        changed(kernel_km=0.0),
        changed(fade_km="x"),
        changed(count_weight=-1.0),
        changed(count_weight=NAN),
        changed(place=[1, INF]),
    ),
]
NO_PLACES = [
    *(cut, empty, gone, a_folder, text("x" * 100), column("lon", None), column("lat", 91.0), column("lon", NAN)),
    *(column("label", pa.scalar(3, pa.int32())), column("label", pa.scalar(-1, pa.int32())), column("label", NO_COLUMN)),
]

TABLE: list[tuple[str, tuple[str, ...], str, list[Damage]]] = [
    (f"{PIECE}/model.safetensors", (PREDICT, MAP, ON), "finetune-loc", [times(NAN), times(INF)]),
    (
        f"{PIECE}/model.safetensors",
        (MAP,),
        "finetune-loc",
        [cut, empty, gone, a_folder, of_another_shape, text("x" * 100)],
    ),
    (f"{PIECE}/config.json", (MAP,), "finetune-loc", OTHER_JSON),
    (f"{PIECE}/config.json", (PREDICT, ON), "finetune-loc", [BRACKETS]),
    (
        f"{PIECE}/config.json",
        (MAP,),
        "finetune-loc",
        [
            *(changed(encoder=True), changed(encoder__dim=-1), changed(encoder__dim=10**30), changed(encoder__dim=7)),
            *(changed(encoder__encoding=[]), changed(encoder__network={"name": "none such"}), changed(encoder__network=None)),
            *(changed(classes=1e30), changed(classes=NAN), changed(classes=None), changed(link="x"), gone),
        ],
    ),
    (
        f"{FSTAR}/config.json",
        (PREDICT,),
        "pretrain-img",
        [
            *(*OTHER_JSON, text("{}")),
            *(changed(mean=one) for one in ([], [1, 2], "x", [NAN] * 3, None)),
            *(changed(px=one) for one in (1e30, 10**30, -1, "32", 3, None)),
            *(changed(model=one) for one in (3, "timm:none_such", "x", None)),
            *(changed(sd=[0, 0, 0]), changed(crop=0), changed(interpolation="x")),
        ],
    ),
    (f"{FSTAR}/model.safetensors", (PREDICT,), "pretrain-img", [times(NAN), cut, empty, gone]),
    (f"{HEAD}/config.json", (PREDICT,), "finetune-img", [*OTHER_JSON, text('{"dim": 3, "classes": 3}'), changed(dim=True)]),
    (f"{HEAD}/model.safetensors", (PREDICT,), "finetune-img", [times(NAN), cut]),
    ("artifacts/pretrain/seed_0/config.json", (EMBED,), "name a project", [*OTHER_JSON, text("{}")]),
    (
        "artifacts/download/classes.json",
        (PREDICT,),
        DOWNLOAD,
        [*OTHER_JSON, text("null"), text("x"), empty, text('["a"]'), text("[1, 2, 3]")],
    ),
    ("artifacts/download/classes.json", (PER_CLASS,), DOWNLOAD, [text("{}"), gone]),
    ("artifacts/download/classes.json", (PER_CLASS,), "evaluate", [text('["a"]')]),
    (
        "artifacts/download/images.json",
        (PREDICT,),
        "dvc repro -f download",
        [*OTHER_JSON, gone, changed(bands=[0]), changed(bands=[1, 2]), changed(black=HUGE), changed(white=-1.0)],
    ),
    (f"{POOL}/pool.json", (PREDICT, TRUST, MAP), EVALUATE, NO_POOL),
    (f"{POOL}/places.parquet", (PREDICT, TRUST, MAP), EVALUATE, NO_PLACES),
    ("EXPORT/pool.json", (EXPORTED,), AGAIN, NO_POOL),
    ("EXPORT/places.parquet", (EXPORTED,), AGAIN, NO_PLACES),
    (
        "EXPORT/reading.json",
        (EXPORTED,),
        AGAIN,
        [*OTHER_JSON, text("{}"), gone, changed(white=-1.0), changed(bands=[1, 2]), changed(black=1e308)],
    ),
    ("EXPORT/classes.json", (EXPORTED,), AGAIN, [*OTHER_JSON, text('["a"]')]),
    (
        "EXPORT/image_network/config.json",
        (EXPORTED,),
        AGAIN,
        [*OTHER_JSON, changed(model=None), changed(mean=None), changed(model=3), changed(px=1e30)],
    ),
    ("EXPORT/image_head/config.json", (EXPORTED,), AGAIN, [text("{}"), changed(dim="x")]),
    ("EXPORT/location_classifier/config.json", (EXPORTED,), AGAIN, [changed(encoder=3), gone]),
    ("EXPORT/location_classifier/model.safetensors", (EXPORTED,), AGAIN, [times(NAN), cut]),
    (
        "artifacts/evaluate/predictions.parquet",
        (PER_CLASS,),
        "evaluate",
        [
            *(cut, empty, gone, text("x"), a_folder),
            *(column("label", "x"), column("seed", None), column("image", 3), column("image", []), column("label", NO_COLUMN)),
        ],
    ),
    ("artifacts/evaluate/predictions.parquet", (VERSUS,), "evaluate", [cut, gone, column("image", []), column("seed", None)]),
    ("artifacts/evaluate/predictions.parquet", (PER_CLASS,), "evaluate", [column("combined", [99]), column("label", -3)]),
    ("artifacts/split/few_shot.parquet", (ON,), SPLIT, [cut, empty, column("seed_1", None), column("seed_0", "x")]),
    (
        "artifacts/download/observations.parquet",
        (ON,),
        DOWNLOAD,
        [cut, empty, *(column(*one) for one in (("lon", None), ("label", "x"), ("label", 99), ("lat", 1e308)))],
    ),
    ("artifacts/download/observations.parquet", (EXPORT,), DOWNLOAD, [cut]),
    ("artifacts/split/roles.parquet", (EXPORT,), SPLIT, [cut, column("role", "x"), column("role", 3)]),
    (
        "reports/scores.json",
        (SHOW,),
        EVALUATE,
        [
            *(*OTHER_JSON, text('{"test": 3}'), changed(test__label_x={}), changed(train={})),
            *(changed(test__label_100__image=None), changed(test__label_100__image__top1={"mean": 1})),
            changed(test__label_100__image__top1__mean=10**400),
        ],
    ),
    ("reports/scores.json", ("evaluate --show --json", EXPORT), EVALUATE, [text("[]"), a_folder]),
    (
        "reports/regions.json",
        (SHOW,),
        EVALUATE,
        [
            *(*OTHER_JSON, gone, changed(test__label_100=[]), changed(test__label_100__cell=None)),
            changed(test__label_100__latitude=[{"from": None}]),
        ],
    ),
]
BROKEN = [
    (name, damage, words, next_command)
    for name, commands, next_command, damages in TABLE
    for damage in damages
    for words in commands
]
IDS = [f"{number}-{name[-40:]}" for number, (name, *_) in enumerate(BROKEN)]


@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
@pytest.mark.parametrize(("name", "damage", "words", "next_command"), BROKEN, ids=IDS)
def test_a_damaged_file_is_one_sentence(
    run: Command, project: Path, name: str, damage: Damage, words: str, next_command: str
) -> None:
    file, kept = project / name, (project / name).read_bytes()
    try:
        damage(file)
        status, out, err = run(*words.split())
    finally:
        if file.is_dir():
            file.rmdir()
        file.write_bytes(kept)
        shutil.rmtree(project / "again", ignore_errors=True)
    assert status == 3, (status, err, out)
    error, hint = err.splitlines()[-2:]
    assert error.startswith("error: ")
    assert Path(name).name in error or str(Path(name).parent) in error, error
    assert hint.startswith("hint: ")
    assert next_command in hint
    assert len(error) < 600


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["timm:x", 1e308, -0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dim", "name", "a"]), inner, max_size=3),
    max_leaves=5,
)
NAMES = [
    *(f"{PIECE}/config.json", f"{FSTAR}/config.json", f"{HEAD}/config.json", "artifacts/download/classes.json"),
    *("artifacts/download/images.json", f"{POOL}/pool.json"),
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), data=st.data())
def test_any_change_of_a_json_file_is_a_model_or_a_data_error(project: Path, name: str, data: st.DataObject) -> None:
    file = project / name
    kept = file.read_text()
    content = json.loads(kept)
    places = list(_places(content))
    file.write_text(json.dumps(_replaced(content, data.draw(st.sampled_from(places)), data.draw(VALUES))))
    try:
        cspops.load(project).predict_proba(lonlat=[[8.5, 47.4]])
    except DataError as error:
        assert str(project) in error.message
    finally:
        file.write_text(kept)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Any:
    yield at
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(one, (*at, key))


def _replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    out = value.copy()
    out[at[0]] = _replaced(value[at[0]], at[1:], new)
    return out


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_safetensors_file_is_a_model_or_a_data_error(project: Path, data: st.DataObject) -> None:
    file = project / PIECE / "model.safetensors"
    kept = file.read_bytes()
    head = 8 + int.from_bytes(kept[:8], "little")
    at = data.draw(st.integers(0, head))
    new = kept[:at] + data.draw(st.binary(max_size=4)) + kept[at + data.draw(st.integers(0, 4)) :]
    file.write_bytes(new[: data.draw(st.sampled_from([len(new), at, len(new) - 3]))])
    try:
        cspops.load(project / PIECE)
    except DataError as error:
        assert "model.safetensors" in error.message
    finally:
        file.write_bytes(kept)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_a_value_or_a_data_error(content: bytes) -> None:
    try:
        json_text_as(content, dict[str, Any], name="x.json", remake="dvc repro")
    except DataError as error:
        assert error.message.startswith("x.json is broken: ")
