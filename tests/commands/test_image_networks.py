"""The table of image networks on a tiny catalogue of random images: rows, numbers, refusals, kills and what is kept."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from edited_params import flipped, leaf_paths, without_warnings
from image_sites import site
from PIL import Image
from typer.testing import CliRunner

from cspops.commands import app, image_networks
from cspops.data.few_shot import choosing_levels, few_shot_levels
from cspops.data.schemas import SCHEMA
from cspops.data.splits import CHOOSERS
from cspops.errors import CspopsError, DataError, EnvironmentProblem, ParamsError
from cspops.host import Host
from cspops.imagessl.images import Pretrained
from cspops.imagessl.methods import METHODS
from cspops.params import load, recorded, with_values
from cspops.params.section import Section
from cspops.pipeline import image_network_table, image_probes, paths
from cspops.pipeline.image_probes import chosen, colour_statistics, image_rows
from cspops.pixels.reading import IMAGE, Reading
from cspops.training.linear_probe import linear_probe

ROOT = Path(__file__).parents[2]
VALUES = [
    ("seeds", [0, 1, 2]),
    ("split.label_ratios", [0.25, 1.0]),
    ("image_encoder.model", "timm:test_resnet"),
    ("pretrain_img.methods.moco.epochs", 1),
    ("pretrain_img.methods.moco.batch_size", 16),
    ("pretrain_img.methods.moco.queue", 8),
    ("finetune_img.modes.linear_probe.l2", [0.1, 0.01]),
    ("finetune_img.modes.linear_probe.max_iterations", 5),
]
PARAMS = with_values(load(ROOT / "params.yaml"), VALUES)
N, ROLES = 60, ["train"] * 32 + ["val"] * 12 + ["test"] * 16
TABLE = Path("reports/tables/image_networks_blue_marble.json")


def tile(draws: np.random.Generator, label: int) -> bytes:
    """Noise around a brightness that hints at the class, from afar: no network tells them all."""
    pixels = np.clip(draws.normal(115 + 4 * label + draws.normal(0, 4), 60, (32, 32, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make_inputs(folder: Path, params=PARAMS) -> None:
    """Catalogue and split of 60 tiles in 3 classes; of each judged set one row has no label."""
    draws = np.random.default_rng(0)
    order = draws.permutation(N)
    roles, label = [ROLES[row] for row in order], draws.integers(0, 3, N)
    bare = {role: roles.index(role) for role in ("val", "test")}
    columns = {field.name: pa.nulls(N, field.type) for field in SCHEMA}
    columns["obs_id"] = pa.array([f"o{row}" for row in range(N)])
    columns["image"] = pa.array([{"bytes": tile(draws, one), "path": None} for one in label], IMAGE)
    columns["label"] = pa.array([None if row in bare.values() else one for row, one in enumerate(label)], pa.int32())
    with paths.whole_folder(folder / "download", {"stage": "download", "params": recorded(params, "download")}) as out:
        pq.write_table(pa.table(columns), out / "observations.parquet", row_group_size=7)
        (out / "classes.json").write_text('["a", "b", "c"]')
        (out / "images.json").write_text(json.dumps(Reading().as_json()))
    labels = torch.tensor([-1 if row in bare.values() else int(one) for row, one in enumerate(label)])
    train = torch.tensor([role == "train" for role in roles])
    levels = {
        f"seed_{seed}": few_shot_levels(labels, train, ratios=params.split.label_ratios, seed=seed) for seed in params.seeds
    }
    masks = {role: torch.tensor([one == role for one in roles]) for role in CHOOSERS}
    law = {"ratios": params.split.label_ratios, "val_labels": params.split.val_labels}
    choosing = {f"seed_{seed}": choosing_levels(labels, masks, seed=seed, **law) for seed in params.seeds}
    with paths.whole_folder(folder / "split", {"stage": "split", "params": recorded(params, "split")}) as out:
        pq.write_table(pa.table({"obs_id": columns["obs_id"], "role": roles}), out / "roles.parquet")
        for name, by_seed in (("few_shot", levels), ("choosing", choosing)):
            values = {seed: pa.array(level.numpy(), from_pandas=True) for seed, level in by_seed.items()}
            pq.write_table(pa.table({"obs_id": columns["obs_id"]} | values), out / f"{name}.parquet")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with catalogue and split; published weights cannot be had in it."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path / "artifacts")
    build = image_probes.network_of

    def offline(about, **others):
        if about.weights == "pretrained":
            raise DataError("the published weights cannot be had", hint="connect once")
        return build(about, **others)

    monkeypatch.setattr(image_probes, "network_of", offline)
    return tmp_path


def fill(*names, params=PARAMS, seeds=2, **options):
    return image_network_table.run(params, Host(device="cpu", workers="0"), names=names, seeds=seeds, **options)


def by_name(document):
    return {row["name"]: row for row in document["rows"]}


def count_probes(monkeypatch):
    """A list that grows by one for each fitted probe."""
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        return linear_probe(*arguments, **options)

    monkeypatch.setattr(image_probes, "linear_probe", counted)
    return calls


def record_pieces(monkeypatch):
    """What each row and seed says, as it is computed."""
    found, piece = {}, image_probes.Probes.piece

    def recorded_piece(probes, row, seed, resume):
        found[row.name, seed] = piece(probes, row, seed, resume)
        return found[row.name, seed]

    monkeypatch.setattr(image_probes.Probes, "piece", recorded_piece)
    return found


def train_nothing(monkeypatch):
    """A pre-training that leaves the network as it is."""
    for name in METHODS:
        monkeypatch.setitem(
            METHODS,
            name,
            lambda network, images, settings, run, **_: Pretrained([], {"share": 0.5 + run.seed, "note": "It is idle"}),
        )


def test_each_network_is_a_row_with_mean_and_sd_of_its_pieces(project, monkeypatch):
    pieces, probes = record_pieces(monkeypatch), count_probes(monkeypatch)
    document = fill("colour statistics", "random", "published", "moco")
    rows = by_name(document)
    assert list(rows) == ["colour statistics", "random", "published", "moco"]
    assert rows["published"]["refused"] == "the published weights cannot be had"
    assert len(probes) == 3 * 2 * 2  # rows, seeds, ratios
    assert rows["colour statistics"]["dim"] == 6
    assert rows["moco"]["settings"]["epochs"] == 1
    assert pieces.keys() == {(name, seed) for name in ("colour statistics", "random", "moco") for seed in (0, 1)}
    for name in ("colour statistics", "random", "moco"):
        for ratio, role in itertools.product(("label_25", "label_100"), ("val", "test")):
            a, b = (pieces[name, seed]["scores"][ratio][role] for seed in (0, 1))
            assert rows[name]["scores"][ratio][role] == {"mean": round((a + b) / 2, 4), "sd": round(abs(a - b) / 2**0.5, 4)}
    assert pieces["random", 0]["scores"] != pieces["random", 1]["scores"] != pieces["moco", 1]["scores"]
    assert document["rows_of_data"] == {"train": 32, "val": 11, "test": 15, "classes": 3}
    assert document["seeds"] == [0, 1]
    assert json.loads(TABLE.read_text()) == document
    assert "Missing: published: the published weights cannot be had" in TABLE.with_suffix(".md").read_text()
    kept = {path.name for folder in (project / ".dvc/tmp/cspops").iterdir() for path in folder.iterdir()}
    assert all(name.endswith(".json") for name in kept - {".lock"})  # the pixels are gone


def test_only_rows_that_may_choose_choose_the_probe(tmp_path, monkeypatch):
    """All labelled rows of val at every ratio, or a quarter of each class at a quarter; all are judged as ever."""
    asked = {}
    for val_labels in ("all", "as_labels"):
        (tmp_path / val_labels).mkdir()
        monkeypatch.chdir(tmp_path / val_labels)
        params, seen = with_values(PARAMS, [("split.val_labels", val_labels)]), []
        make_inputs(Path("artifacts"), params)

        def watched(x, y, val_x, val_y, seen=seen, **options):
            seen.append(len(val_y))
            return linear_probe(x, y, val_x, val_y, **options)

        monkeypatch.setattr(image_probes, "linear_probe", watched)
        fill("colour statistics", params=params, seeds=1)
        asked[val_labels] = sorted(seen)
    assert asked["all"] == [11, 11]
    assert asked["as_labels"][0] in (3, 4) and asked["as_labels"][1] == 11


def test_a_piece_is_the_probe_on_the_rows_of_its_split(project):
    """Once more by hand: pixels out of the catalogue, statistics in numpy, rows of one seed by the parquet files."""
    row = by_name(fill("colour statistics", seeds=1))["colour statistics"]
    table = pq.read_table("artifacts/download/observations.parquet").to_pylist()
    level = pq.read_table("artifacts/split/few_shot.parquet")["seed_0"].to_pylist()
    roles = pq.read_table("artifacts/split/roles.parquet")["role"].to_pylist()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(one["image"]["bytes"]))) for one in table]).astype(np.float32) / 255
    x = torch.from_numpy(np.concatenate([pixels.mean((1, 2)), pixels.std((1, 2))], 1))
    y = torch.tensor([-1 if one["label"] is None else one["label"] for one in table])
    of = {role: torch.tensor([one == role for one in roles]) & (y >= 0) for role in ("val", "test")}
    few = torch.tensor([one is not None and one <= 0.25 for one in level])
    probe, _ = linear_probe(x[few], y[few], x[of["val"]], y[of["val"]], classes=3, l2=(0.1, 0.01), max_iterations=5)
    for role, mask in of.items():
        right = 100 * (probe(x[mask]).argmax(1) == y[mask]).double().mean()
        assert row["scores"]["label_25"][role] == {"mean": round(float(right), 4), "sd": 0.0}


def test_colour_statistics_of_one_pixel_and_of_two():
    """One pixel has no deviation; of 0 and 255 the mean is 1/2 and the deviation 1/2."""
    one = torch.tensor([[[[51, 102, 255]]]], dtype=torch.uint8)
    assert colour_statistics(one)[0].tolist() == pytest.approx([0.2, 0.4, 1.0, 0, 0, 0])
    two = torch.tensor([[[[0, 0, 255], [255, 0, 255]]]], dtype=torch.uint8)
    assert colour_statistics(two)[0].tolist() == pytest.approx([0.5, 0, 1, 0.5, 0, 0])


@pytest.mark.parametrize("kind", [DataError, CspopsError])
def test_a_method_that_refuses_becomes_a_row(project, monkeypatch, kind):
    def refuse(*arguments, **options):
        raise kind("no image has a date: seasons cannot be told apart")

    monkeypatch.setitem(METHODS, "moco", refuse)
    row = by_name(fill("moco", "colour statistics"))["moco"]
    assert row["refused"] == "no image has a date: seasons cannot be told apart"
    assert "scores" not in row
    page = TABLE.with_suffix(".md").read_text()
    assert "| moco | missing | - | - |" in page
    assert "- Missing: moco: no image has a date: seasons cannot be told apart" in page
    train_nothing(monkeypatch)
    assert "refused" in by_name(fill("colour statistics"))["moco"]  # it stays until it is named
    row = by_name(fill("moco"))["moco"]
    assert "scores" in row
    assert row["note"] == "It is idle"
    assert row["facts"] == {"share": {"mean": 1.0, "sd": round(0.5**0.5, 4)}}  # 0.5 and 1.5


def test_a_machine_that_cannot_is_no_row(project, monkeypatch):
    def refuse(*arguments, **options):
        raise EnvironmentProblem("no room")

    monkeypatch.setitem(METHODS, "moco", refuse)
    with pytest.raises(EnvironmentProblem, match="no room"):
        fill("moco")


def test_a_killed_command_continues_and_writes_the_same_bytes(project, monkeypatch, tmp_path_factory, said):
    fill("random", "moco", seeds=1)
    undisturbed = TABLE.read_bytes()
    other = tmp_path_factory.mktemp("killed")
    monkeypatch.chdir(other)
    make_inputs(other / "artifacts")
    probes = count_probes(monkeypatch)
    counted = image_probes.linear_probe

    def killed(*arguments, **options):
        if len(probes) == 3:  # after `random`, and after the pre-training and one of the two ratios of `moco`
            raise KeyboardInterrupt
        return counted(*arguments, **options)

    monkeypatch.setattr(image_probes, "linear_probe", killed)
    with pytest.raises(KeyboardInterrupt):
        fill("random", "moco", seeds=1)
    assert not TABLE.exists()
    monkeypatch.setattr(image_probes, "linear_probe", counted)
    said.clear()
    fill("random", "moco", seeds=1)
    assert len(probes) == 3 + 2  # moco alone
    assert "moco: continuing after epoch 1 of 1" in said
    assert not [line for line in said if "decoded" in line]
    assert TABLE.read_bytes() == undisturbed


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"dim": "x", "facts": {}, "scores": {}}', '{"dim": 1, "facts": {}, "scores": {"a": 1}}']
)
def test_a_kept_piece_that_cannot_be_read_is_dropped_with_a_warning(tmp_path, said, text):
    file = tmp_path / "piece.json"
    assert image_network_table._kept_piece(file) is None and said == []
    file.write_text(text)
    assert image_network_table._kept_piece(file) is None
    assert said == [f"{file} cannot be read: it is computed anew"]


def test_nothing_is_computed_again_for_equal_keys_and_other_rows_stay(project, monkeypatch, said):
    fill("colour statistics", "random")
    first = TABLE.read_bytes()
    probes = count_probes(monkeypatch)
    said.clear()
    assert list(by_name(fill("random"))) == ["colour statistics", "random"]
    assert (len(probes), said, TABLE.read_bytes()) == (0, [], first)
    fill("random", again=True)
    assert (len(probes), TABLE.read_bytes()) == (2 * 2, first)
    fill("random", seeds=3)
    assert len(probes) == 2 * 2 + 2  # the third seed; colour statistics of two seeds leave
    document = json.loads(TABLE.read_text())
    assert [row["name"] for row in document["rows"]] == ["random"]


def test_rows_of_other_params_leave_and_say_so(project, monkeypatch, said):
    train_nothing(monkeypatch)
    fill("colour statistics", "moco", seeds=1)
    other = with_values(PARAMS, [("pretrain_img.methods.moco.temperature", 0.5)])
    said.clear()
    assert list(by_name(fill("colour statistics", params=other, seeds=1))) == ["colour statistics"]
    assert said == ["image-networks: left out, as it belongs to other params, data or seeds: moco"]


def test_a_further_network_is_a_row_that_stays(project, monkeypatch):
    document = fill("colour statistics", also=["timm:test_resnet,random"], seeds=1)
    assert list(by_name(document)) == ["colour statistics", "timm:test_resnet, random"]
    probes = count_probes(monkeypatch)
    document = fill("random", seeds=1)
    assert list(by_name(document)) == ["colour statistics", "random", "timm:test_resnet, random"]
    rows = by_name(document)
    assert rows["random"]["scores"] == rows["timm:test_resnet, random"]["scores"]
    assert len(probes) == 0  # it is the same network: its piece is known
    listed = {row["name"]: row["computed"] for row in image_network_table.listing(PARAMS, also=(), seeds=1)}
    assert listed == {"colour statistics": True, "random": True, "published": False} | dict.fromkeys(METHODS, False)


@pytest.mark.parametrize(
    ("also", "says"),
    [
        ("timm:test_resnet", "is no MODEL,WEIGHTS"),
        ("timm:test_resnett,random", "timm has no model 'test_resnett'"),
        ("timm:test_resnet,imagenet", "with weights random, pretrained or file:PATH"),
    ],
)
def test_a_further_network_that_cannot_be(project, also, says):
    with pytest.raises(ParamsError, match=says):
        fill("colour statistics", also=[also])


def test_weights_of_a_file_are_known_by_their_content(tmp_path):
    one, two = tmp_path / "one.pth", tmp_path / "two.pth"
    one.write_bytes(b"weights")
    two.write_bytes(b"other weights")
    first, second = (image_rows(PARAMS, [f"timm:test_resnet,file:{file}"])[-1] for file in (one, two))
    assert first.files["weights"] != second.files["weights"]
    assert first.files == image_rows(PARAMS, [f"timm:test_resnet,file:{one}"])[-1].files
    with pytest.raises(DataError, match=r"three\.pth: that file is missing"):
        image_rows(PARAMS, [f"timm:test_resnet,file:{tmp_path / 'three.pth'}"])


def test_names_may_be_written_with_dashes_and_wrong_ones_name_near_ones():
    rows = image_rows(PARAMS)
    assert [row.name for row in chosen(rows, ["MOCO", "colour-statistics"])] == ["colour statistics", "moco"]
    assert chosen(rows, []) == rows
    with pytest.raises(ParamsError, match=r"there is no image network 'moca': near it: moco"):
        chosen(rows, ["moca"])


def test_given_features_have_no_image(tmp_path):
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "a.npy", np.ones((4, 5), np.float32))
    with pytest.raises(DataError, match="no image to compare networks on"):
        image_probes.Probes(PARAMS, site(tmp_path, given=[("a.npy", row) for row in range(4)]))


@pytest.mark.parametrize("seeds", [0, 4])
def test_more_seeds_than_there_are(project, seeds):
    with pytest.raises(ParamsError, match=rf"--seeds {seeds}: params\.yaml has 3 seeds"):
        fill(seeds=seeds)


@pytest.mark.parametrize(("of_params", "taken"), [((0,), 1), ((0, 1), 2), ((0, 1, 2, 3), 3)])
def test_seeds_that_are_not_asked_for_are_three_or_all(project, of_params, taken):
    params = PARAMS.model_copy(update={"seeds": of_params})
    fill("colour statistics", seeds=taken)
    listed = {row["name"]: row["computed"] for row in image_network_table.listing(params, also=())}
    assert listed["colour statistics"]
    assert fill("colour statistics", seeds=None)["seeds"] == [0, 1, 2]


def run_command(monkeypatch, *arguments):
    """Exit code, stdout and stderr of the command line in this process."""
    monkeypatch.setattr(image_networks, "read_params", lambda: PARAMS)
    done = CliRunner().invoke(app, ["image-networks", *arguments])
    return done.exception if isinstance(done.exception, CspopsError) else done


def test_the_command(project, monkeypatch):
    assert run_command(monkeypatch, "mocco").code == 2
    done = run_command(monkeypatch, "colour-statistics", "--seeds", "1")
    assert done.exit_code == 0, done.output
    assert "Top-1 on test, per cent" in done.stdout
    listed = json.loads(run_command(monkeypatch, "--list", "--seeds", "1", "--json").stdout)
    assert [row["name"] for row in listed if row["computed"]] == ["colour statistics"]
    again = run_command(monkeypatch, "colour-statistics", "--seeds", "1", "--json")
    assert json.loads(again.stdout) == json.loads(TABLE.read_text())


def test_without_artefacts_the_stage_to_run_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = run_command(monkeypatch, "random")
    assert (error.code, error.message) == (3, "artifacts/download is missing: cspops image-networks reads it")
    assert error.hint == "dvc repro split"
    assert not any(row["computed"] for row in image_network_table.listing(PARAMS, also=(), seeds=1))


def test_a_second_command_on_the_same_data_ends_at_once(project, monkeypatch):
    def meanwhile(*given):
        with pytest.raises(EnvironmentProblem, match="another cspops image-networks is at work"):
            fill("colour statistics")
        raise KeyboardInterrupt

    monkeypatch.setattr(image_network_table, "Probes", meanwhile)
    with pytest.raises(KeyboardInterrupt):
        fill("colour statistics")


def record_reads(monkeypatch):
    """The paths of the values that `Probes.piece` reads of params."""
    paths_of, read, piece, get = {}, set(), image_probes.Probes.piece, Section.__getattribute__

    def note(section, above=""):
        paths_of[id(section)] = above
        for key, name in type(section).fields_by_key().items():
            if isinstance(value := get(section, name), Section):
                note(value, f"{above}{key}.")

    def noted(self, name):
        value = get(self, name)
        if id(self) in paths_of and name in type(self).model_fields and not isinstance(value, Section):
            read.add(paths_of[id(self)] + name)
        return value

    def recorded_piece(probes, *arguments):
        note(probes.params)
        with monkeypatch.context() as patched:
            patched.setattr(Section, "__getattribute__", noted)
            return piece(probes, *arguments)

    monkeypatch.setattr(image_probes.Probes, "piece", recorded_piece)
    return read


def test_every_param_that_a_row_depends_on_changes_its_key(project, monkeypatch):
    read = record_reads(monkeypatch)
    fill("moco", seeds=1)
    of_all = {"split.label_ratios", *(f"finetune_img.modes.linear_probe.{name}" for name in ("l2", "max_iterations"))}
    assert of_all <= read

    def keys(params):
        return {row.name: image_network_table._row_key(params, row, (0,)) for row in image_rows(params)}

    before = keys(PARAMS)
    for path in leaf_paths(PARAMS):
        after = without_warnings(keys, flipped(PARAMS, path))
        changes = {name for name in before if before[name] != after[name]}
        assert path not in read or "moco" in changes, path
        if path in of_all:
            assert changes == before.keys(), path
        elif path.startswith("image_encoder.") and path != "image_encoder.seed":  # rows are drawn by `seeds`
            assert "moco" in changes, path
        elif path.startswith("pretrain_img.methods."):
            assert changes == {path.split(".")[2]} & before.keys(), path  # of GAIR there is no row
        else:
            assert not changes, path
