"""params.yaml is refused whole, with the key, the value, the choices and the nearest spelling."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cspops import params
from cspops.errors import ParamsError
from cspops.pixels.rgb import INTERPOLATIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def good() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    return content


def write(folder: Path, content: Any) -> Path:
    file = folder / "params.yaml"
    with file.open("w") as opened:
        YAML().dump(content, opened)
    return file


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    out = copy.deepcopy(content)
    *parents, last = path.split(".")
    at = out
    for key in parents:
        at = at[key]
    at[last] = at[last] | value if isinstance(value, dict) else value
    return out


def test_the_committed_file_is_valid() -> None:
    assert params.load(ROOT / "params.yaml").loss in ("mc", "nce", "mse", "none")


WRONG = [
    ("loss", "mcc", ["loss: 'mcc' is not one of mc, nce, mse, gair, none", "did you mean `mc`?"]),
    ("loss", None, ["loss: None is not one of"]),
    ("losses.mc.tau_batch", -1, ["losses.mc.tau_batch: input should be greater than or equal to 0.0001 (got -1)"]),
    ("losses.mc.tau_batch", 0, ["losses.mc.tau_batch: input should be greater than or equal to 0.0001 (got 0)"]),
    ("losses.mc.tau_batch", float("nan"), ["losses.mc.tau_batch"]),
    ("losses.mc.tau_batch", float("inf"), ["losses.mc.tau_batch"]),
    ("losses.mc.terms", "LD", ["losses.mc.terms: 'LD' is not one of B, BL, BD, BLD", "did you mean `BLD`?"]),
    ("losses.mc.tau_bach", 1.0, ["losses.mc.tau_bach: unknown key; did you mean `tau_batch`?"]),
    ("losses.mse.terms", "B", ["losses.mse.terms: unknown key; known here: learning_rate"]),
    ("losses.none.learning_rate", 1.0, ["losses.none.learning_rate: unknown key; known here: none"]),
    ("losses.mc.weight_dropout", -0.1, ["losses.mc.weight_dropout: input should be greater than or equal to 0"]),
    ("pretrain.epochs", "abc", ["pretrain.epochs: input should be a valid integer (got 'abc')"]),
    ("pretrain.epochs", 2.5, ["pretrain.epochs", "(got 2.5)"]),
    ("pretrain.epochs", True, ["pretrain.epochs: input should be a valid integer (got True)"]),
    ("pretrain.epochs", "30", ["pretrain.epochs: input should be a valid integer (got '30')"]),
    ("pretrain.batch_size", 1, ["pretrain.batch_size: input should be greater than or equal to 2"]),
    ("pretrain", 3, ["pretrain: input should be a valid dictionary"]),
    ("encodings.wrap.r_min", 0.1, ["encodings.wrap.r_min: unknown key"]),
    ("encodings.grid.r_min", 400.0, ["encodings.grid: r_min 400.0 must be less than r_max 360.0"]),
    (
        "location_encoder.encoding.name",
        "gird",
        ["location_encoder.encoding.name: 'gird' is not one of", "did you mean `grid`?"],
    ),
    ("networks.ffn.dropout", 1.0, ["networks.ffn.dropout: input should be less than 1"]),
    ("split.label_ratios", [0.1, 0.05], ["split: label_ratios [0.1, 0.05] must increase"]),
    ("split.label_ratios", [0.1, 0.1], ["must increase, without repeats"]),
    ("split.label_ratios", [0.1, 0.1000000001], ["must increase, without repeats"]),
    ("split.block_degrees", 1e-9, ["split.block_degrees: input should be greater than or equal to 0.1"]),
    ("split.buffer_km", -1.0, ["split.buffer_km: input should be greater than or equal to 0 (got -1.0)"]),
    ("dataset.blue_marble.buffer_km", 9e9, ["dataset.blue_marble.buffer_km: input should be less than or equal to 5000"]),
    ("seeds", [2**32], ["seeds.0: input should be less than"]),
    ("split.label_ratios", [0.1, 2], ["split.label_ratios.1: input should be less than or equal to 1 (got 2)"]),
    ("split.label_ratios", [], ["split.label_ratios"]),
    ("split.val", 0, ["split.val: input should be greater than 0 (got 0)"]),
    ("split.val", 0.9, ["split: val + test and spatial_val + spatial_test must leave training rows"]),
    ("seeds", [], ["seeds"]),
    ("seeds", [0, 0], ["seeds [0, 0] must differ from one another"]),
    ("seeds", 0, ["seeds: input should be a list (got 0)"]),
    ("seeds", [-1], ["seeds.0: input should be greater than or equal to 0 (got -1)"]),
    ("dataset.source", "bluemarble", ["did you mean `blue_marble`?"]),
    ("dataset.blue_marble.density", "border", ["did you mean `borders`?"]),
    ("dataset.blue_marble.view", "glimps", ["dataset.blue_marble.view: 'glimps' is not one of", "did you mean `glimpse`?"]),
    ("dataset.blue_marble.view", None, ["dataset.blue_marble.view: None is not one of glimpse, tile"]),
    ("dataset.blue_marble.views.glimpse.exposure", 1.0, ["views.glimpse.exposure: input should be less than 1 (got 1.0)"]),
    ("dataset.blue_marble.views.glimpse.max_offset_km", -1.0, ["views.glimpse.max_offset_km: input should be greater than"]),
    ("dataset.blue_marble.views.tile.exposure", 0.1, ["dataset.blue_marble.views.tile.exposure: unknown key"]),
    ("dataset.blue_marble.views.tile", None, ["dataset.blue_marble.views.tile: null is not a section"]),
    ("dataset.blue_marble.overhead.max_offset_km", 109.0, ["overhead: max_offset_km 109.0 is more than 0.45 of side_km 240.0"]),
    ("dataset.blue_marble.overhead", None, ["dataset.blue_marble.overhead: null is not a section"]),
    ("dataset.blue_marble.tile_km", 240.0, ["dataset.blue_marble.tile_km: unknown key"]),
    (
        "split.val_labels",
        "as_label",
        ["split.val_labels: 'as_label' is not one of all, as_labels", "did you mean `as_labels`?"],
    ),
    ("dataset.blue_marble.lat_min", 84.0, ["dataset.blue_marble: lat_min 84.0 must be less than lat_max 84.0"]),
    ("dataset.blue_marble.block_share", 0.5, ["dataset.blue_marble.block_share: input should be less than 0.5"]),
    ("pretrain_img.method", "mocco", ["did you mean `moco`?"]),
    ("pretrain_img.methods.geokr.raster", "land.tif", ["geokr.raster: string should match pattern"]),
    ("pretrain_img.methods.tile2vec.raster", "climate_zones", ["tile2vec.raster: string should match pattern"]),
    (
        "pretrain_img.methods.tile2vec",
        {"neighbour_km": 50.0, "distant_km": 20.0},
        ["pretrain_img.methods.tile2vec: distant_km is 20, less than neighbour_km, 50"],
    ),
    ("image_encoder.seed", -1, ["image_encoder.seed: input should be greater than or equal to 0 (got -1)"]),
    ("image_encoder.model", "resnet10t", ["image_encoder.model: string should match pattern"]),
    ("image_encoder.model", "torchvisio:resnet50", ["image_encoder.model: string should match pattern"]),
    ("image_encoder.weights", "pretraned", ["image_encoder.weights: 'pretraned' is not one of random, pretrained, file:PATH"]),
    ("image_encoder.weights", "file:", ["image_encoder.weights: 'file:' is not one of random, pretrained, file:PATH"]),
    ("image_encoder.weights", None, ["image_encoder.weights: input should be a valid string (got None)"]),
    ("image_encoder.px", 4, ["image_encoder.px: input should be greater than or equal to 8 (got 4)"]),
    ("image_encoder.crop", 0, ["image_encoder.crop: input should be greater than or equal to 0.01 (got 0)"]),
    ("image_encoder.crop", 1.1, ["image_encoder.crop: input should be less than or equal to 1 (got 1.1)"]),
    (
        "image_encoder.interpolation",
        "bicubik",
        ["image_encoder.interpolation: 'bicubik' is not one of", "did you mean `bicubic`?"],
    ),
    ("finetune_losses.presence_absence.beta", 0, ["presence_absence.beta: input should be greater than or equal to"]),
    (
        "finetune_loc.modes.full.schedule",
        "exponential",
        ["finetune_loc.modes.full: an exponential schedule needs a last_rate above 0"],
    ),
    (
        "finetune_loc.fusion.head",
        "flim",
        ["finetune_loc.fusion.head: 'flim' is not one of none, concat, film", "did you mean `film`?"],
    ),
    ("finetune_loc.fusion.heads", "film", ["finetune_loc.fusion.heads: unknown key; did you mean `head`?"]),
    ("finetune_loc.fusion.hidden", 0, ["finetune_loc.fusion.hidden: input should be greater than or equal to 1 (got 0)"]),
    ("finetune_loc.fusion.dropout", 1.0, ["finetune_loc.fusion.dropout: input should be less than 1"]),
    (
        "finetune_loc.fusion.domain_weight",
        -0.2,
        ["finetune_loc.fusion.domain_weight: input should be greater than or equal to 0"],
    ),
    ("finetune_loc.fusion.steps", 1.5, ["finetune_loc.fusion.steps: input should be a valid integer (got 1.5)"]),
    ("pretrain.negatives", "spheer", ["did you mean `sphere`?"]),
    (
        "finetune_img.modes.linear_probe.l2",
        [0.1, -1],
        ["finetune_img.modes.linear_probe.l2.1: input should be greater than or equal to"],
    ),
    ("finetune_img.mode", "linear", ["finetune_img.mode: 'linear' is not one of", "did you mean `linear_probe`?"]),
    ("finetune_img.modes.full.layer_decay", 0, ["finetune_img.modes.full.layer_decay: input should be greater than 0"]),
    ("finetune_img.modes.full.ema", 1.0, ["finetune_img.modes.full.ema: input should be less than 1"]),
    ("finetune_img.modes.full.l2", [0.1], ["finetune_img.modes.full.l2: unknown key"]),
    ("loss", "MC", ["loss: 'MC' is not one of mc, nce, mse, gair, none; did you mean `mc`?"]),
    ("evaluate.priors.knn", [5, 0], ["evaluate.priors.knn.1: input should be greater than or equal to 1 (got 0)"]),
    ("evaluate.priors.kde", [], ["evaluate.priors.kde: "]),
    ("evaluate.priors.pseudo_count", 0, ["evaluate.priors.pseudo_count: input should be greater than or equal to"]),
    ("report.clas", "Csa", ["report.clas: unknown key; did you mean `class`?"]),
    ("report.class", 3, ["report.class: input should be a valid string (got 3)"]),
    ("report.probe", ["lnd"], ["report.probe.0: 'lnd' is not one of land,"]),
    ("report.probe", ["land", "land"], ["report.probe: a target is named twice"]),
    ("report.clusters", 31, ["report.clusters: input should be less than or equal to 30"]),
    ("report.grid_degrees", 0.4, ["report.grid_degrees: input should be greater than or equal to 0.5"]),
    (
        "finetune_loc.modes.full",
        {"patience": 3, "check_every": 5000},
        ["finetune_loc.modes.full: check_every 5000 must be less than steps"],
    ),
    ("finetune_loc.mode", "probe", ["finetune_loc.mode: 'probe' is not one of linear_probe, full, probe_then_full"]),
    ("finetune_loc.modes.probe_then_full.probe_l2", [], ["probe_then_full.probe_l2: list should have at least 1 item"]),
    ("finetune_loc.modes.probe_then_full.dropout", True, ["probe_then_full.dropout: True is not one of kept, off"]),
    ("losses.mc", {"learn_temperature": True, "tau_batch": 0.001}, ["losses.mc: a temperature that is learned starts at 0.01"]),
    ("location_encoder.dim", 10**9, ["location_encoder.dim: input should be less than or equal to 65536"]),
    ("encodings.grid.r_min", 1e-320, ["encodings.grid.r_min: input should be greater than or equal to 0.000000001"]),
    ("los", "mc", ["los: unknown key; did you mean `loss`?"]),
]


@pytest.mark.parametrize(("path", "value", "says"), WRONG)
def test_a_wrong_value_is_named(good: dict[str, Any], tmp_path: Path, path: str, value: Any, says: list[str]) -> None:
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, changed(good, path, value)))
    for words in says:
        assert words in caught.value.message
    assert caught.value.message.startswith("params.yaml: ")
    assert caught.value.code == 2


def test_image_networks_of_both_libraries_files_and_nulls_are_taken(good: dict[str, Any], tmp_path: Path) -> None:
    changes = {
        "seed": 2**40,
        "model": "torchvision:inception_v3",
        "weights": "file:~/a b.pth",
        "px": None,
        "crop": None,
        "interpolation": None,
    }
    about = params.load(write(tmp_path, changed(good, "image_encoder", changes))).image_encoder
    assert about.model_dump() == changes


def test_interpolations_are_those_of_the_decoder(good: dict[str, Any], tmp_path: Path) -> None:
    for name in INTERPOLATIONS:
        content = changed(good, "image_encoder.interpolation", name)
        assert params.load(write(tmp_path, content)).image_encoder.interpolation == name
    annotation = str(params.Params.model_fields["image_encoder"].annotation.model_fields["interpolation"].annotation)
    assert annotation.count("'") == 2 * len(INTERPOLATIONS)


RELEASED = "params.yaml: finetune_img.mode: released needs dataset.source: inat2018 or fmow, with form: features, but "


@pytest.mark.parametrize("source", ["blue_marble", "folder", "table", "inat2018", "fmow"])
def test_released_predictions_come_with_released_features(good: dict[str, Any], tmp_path: Path, source: str) -> None:
    """Of the set that is read: the form of the other one does not matter."""
    published = ("inat2018", "fmow")
    content = changed(changed(good, "dataset.source", source), "finetune_img.mode", "released")
    for one in published:
        content = changed(content, f"dataset.{one}.form", "images" if one == source else "features")
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, content))
    there = f"dataset.{source}.form: images" if source in published else f"dataset.source: {source}"
    assert caught.value.message == f"{RELEASED}there is {there}"
    assert params.load(write(tmp_path, changed(content, "finetune_img.mode", "linear_probe"))).dataset.source == source
    if source in published:
        for one in published:
            content = changed(content, f"dataset.{one}.form", "features" if one == source else "images")
        assert params.load(write(tmp_path, content)).finetune_img.mode == "released"


@pytest.mark.parametrize("source", ["inat2018", "fmow"])
def test_a_network_is_fine_tuned_on_images_and_not_on_features(good: dict[str, Any], tmp_path: Path, source: str) -> None:
    content = changed(changed(good, "dataset.source", source), "finetune_img.mode", "full")
    assert params.load(write(tmp_path, content)).finetune_img.mode == "full"
    with pytest.raises(ParamsError, match=rf"mode: full needs images, but there is dataset\.{source}\.form: features"):
        params.load(write(tmp_path, changed(content, f"dataset.{source}.form", "features")))


def test_settings_of_other_modes_are_not_read(good: dict[str, Any], tmp_path: Path) -> None:
    loaded = params.load(write(tmp_path, changed(good, "finetune_img.mode", "full")))
    recorded = params.recorded(loaded, "finetune-img")
    assert set(recorded) == {"seeds", "split.label_ratios", "finetune_img.mode", "finetune_img.modes.full"}


@pytest.mark.parametrize("value", [["a"], [float("nan")], [0]])
def test_a_wrong_entry_of_a_list_is_named_once(good: dict[str, Any], tmp_path: Path, value: list[Any]) -> None:
    """Not a second time as a list that is too short."""
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, changed(good, "encodings.equal_earth_rff.sigmas", value)))
    assert len(caught.value.message.splitlines()) == 1
    assert "encodings.equal_earth_rff.sigmas.0: " in caught.value.message
    with pytest.raises(ParamsError, match="sigmas: list should have at least 1 item, not 0"):
        params.load(write(tmp_path, changed(good, "encodings.equal_earth_rff.sigmas", [])))


def test_a_file_that_refers_to_itself_or_is_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: &a\n  b: *a\n")
    with pytest.raises(ParamsError, match="refers to itself"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="is a folder"):
        params.load(tmp_path)


STATISTICS = "finetune_img.modes.full.batch_norm: trained and the probe as a start do not go together"
MENDS = [
    ("finetune_img.modes.full.probe_l2", []),
    ("finetune_img.modes.full.head", "mlp"),
    ("finetune_img.modes.full.batch_norm", "frozen"),
    ("finetune_img.mode", "linear_probe"),
    ("pretrain_img.method", "moco"),
    ("image_encoder.weights", "pretrained"),
]


@pytest.mark.parametrize(("key", "value"), MENDS)
def test_a_random_network_with_statistics_of_its_own_does_not_start_as_a_probe(
    good: dict[str, Any], tmp_path: Path, key: str, value: Any
) -> None:
    for wrong in (
        ("finetune_img.mode", "full"),
        ("finetune_img.modes.full.batch_norm", "trained"),
        ("pretrain_img.method", "none"),
    ):
        good = changed(good, *wrong)
    with pytest.raises(ParamsError, match=STATISTICS):
        params.load(write(tmp_path, good))
    params.load(write(tmp_path, changed(good, key, value)))


CHOSEN = [
    ("dataset.source", "fmow", "dataset.fmow"),
    ("pretrain_img.method", "none", "pretrain_img.methods.none"),
    ("location_encoder.encoding.name", "sphereC+", "encodings.sphereC+"),
    ("location_encoder.network.name", "siren", "networks.siren"),
    ("loss", "nce", "losses.nce"),
    ("finetune_loc.loss", "focal", "finetune_losses.focal"),
    ("finetune_loc.mode", "linear_probe", "finetune_loc.modes.linear_probe"),
    ("finetune_loc.mode", "full", "finetune_loc.modes.full"),
    ("finetune_img.mode", "full", "finetune_img.modes.full"),
]


@pytest.mark.parametrize(("key", "value", "section"), CHOSEN)
def test_a_section_may_be_absent_unless_it_is_chosen(
    good: dict[str, Any], tmp_path: Path, key: str, value: str, section: str
) -> None:
    whole = params.load(write(tmp_path, good))
    *parents, last = section.split(".")
    slim = copy.deepcopy(good)
    at = slim
    for parent in parents:
        at = at[parent]
    del at[last]
    loaded = params.load(write(tmp_path, slim))
    assert params.value_at(loaded, section) is None
    assert params.completed(loaded) == whole
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, changed(slim, key, value)))
    assert caught.value.message == f"params.yaml: {section}: the section is missing; {key} is {value}"
    assert caught.value.hint == f"copy its lines from {params.TEMPLATE}"


def test_both_sections_of_gair_are_named_where_a_project_has_neither(good: dict[str, Any], tmp_path: Path) -> None:
    slim = changed(changed(good, "loss", "gair"), "pretrain_img.method", "gair")
    del slim["losses"]["gair"], slim["pretrain_img"]["methods"]["gair"]
    with pytest.raises(ParamsError, match=r"pretrain_img\.methods\.gair: the section is missing") as caught:
        params.load(write(tmp_path, slim))
    assert "losses.gair: the section is missing" in caught.value.message


GAIR = {"pretrain_img.method": "gair"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loss": "gair"}, "loss: gair needs the location encoder of pretrain_img.method: gair, and that is moco"),
        (
            {"loss": "gair", "pretrain_img.method": "gair", "location_encoder.dim": 8},
            "whose dim is 256; location_encoder has 8",
        ),
        (
            {
                "pretrain_img.method": "gair",
                "pretrain_img.methods.gair.features": "overhead_at_place",
                "finetune_img.mode": "full",
            },
            "finetune_img.mode: full needs pretrain_img.methods.gair.features: photo",
        ),
    ],
)
def test_what_does_not_go_with_gair_is_said(good: dict[str, Any], tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    for path, value in changes.items():
        good = changed(good, path, value)
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, good))
    assert says in caught.value.message


@pytest.mark.parametrize(("view", "other"), [("glimpse", "tile"), ("tile", "glimpse")])
def test_a_view_of_blue_marble_may_be_absent_unless_it_is_chosen(
    good: dict[str, Any], tmp_path: Path, view: str, other: str
) -> None:
    whole = params.load(write(tmp_path, changed(good, "dataset.blue_marble.view", view)))
    slim = changed(good, "dataset.blue_marble.view", view)
    del slim["dataset"]["blue_marble"]["views"][other]
    loaded = params.load(write(tmp_path, slim))
    assert params.recorded(loaded, "download")["dataset.blue_marble"]["views"][other] is None
    assert params.completed(loaded) == whole
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, changed(slim, "dataset.blue_marble.view", other)))
    assert caught.value.message == f"params.yaml: dataset.blue_marble: the section views.{other} is missing; view is {other}"


def test_all_chosen_sections_that_are_absent_are_named_and_completed_keeps_what_is_set(
    good: dict[str, Any], tmp_path: Path
) -> None:
    slim = changed(good, "losses", {}) | {"encodings": {"grid": good["encodings"]["grid"] | {"scales": 3}}, "networks": {}}
    del slim["losses"]["mc"]
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, slim))
    assert caught.value.message.splitlines() == [
        "params.yaml: networks.ffn: the section is missing; location_encoder.network.name is ffn",
        "params.yaml: losses.mc: the section is missing; loss is mc",
    ]
    slim |= {"networks": good["networks"], "losses": good["losses"]}
    loaded = params.completed(params.load(write(tmp_path, slim)))
    assert loaded.encodings.grid.scales == 3
    assert loaded.encodings.tile == params.default_params().encodings.tile


def test_null_is_no_section(good: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params.yaml: losses.nce: null is not a section"):
        params.load(write(tmp_path, changed(good, "losses.nce", None)))


def test_a_missing_section_and_a_missing_key_are_named_together(good: dict[str, Any], tmp_path: Path) -> None:
    del good["losses"], good["finetune_loc"]["loss"]
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, good))
    assert "params.yaml: losses: the key is missing" in caught.value.message
    assert "params.yaml: finetune_loc.loss: the key is missing" in caught.value.message


def test_many_problems_are_one_screen(good: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        params.load(write(tmp_path, good | {f"key_{i}": i for i in range(500)}))
    assert len(caught.value.message.splitlines()) == 21
    assert caught.value.message.endswith("params.yaml: and more that is wrong")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"loss: mc\nloss: nce\n", r"cannot be read \(line 2\): found duplicate key"),
        (b"losses: {mc: {tau_batch: !!float x}}", r"cannot be read \(losses.mc.tau_batch, line 1\): 'x' is not a number"),
        (b"", "holds no keys"),
        (b"- 1\n", "holds no keys"),
        (b"\xff\xfe\x00loss", "it is not UTF-8 text"),
        ("loss: mc".encode("utf-16"), "it is not UTF-8 text"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(ParamsError, match=says) as caught:
        params.load(file)
    assert "\n" not in caught.value.message


ODD_KEYS = ["3: 4", "? [a, b]\n: 1", "null: 1", "2024-01-01: 1", '"\\e[31mx": 0', 'seed: "\\ud800"', "a.b: 1", "true: {}"]
ODD = [
    "[" * 40,
    "{" * 40,
    "? " * 40,
    "- " * 40,
    "!!int x",
    "!!timestamp 1",
    "&a [*a]",
    "*a",
    "&a {<<: *a}",
    "<<: 3",
    "!!binary x",
]
ODD += ["!!set {a}", "!!omap [a: 1]", "---", "...", "1" * 90, "1e999", ".nan", "-.inf", "2024-13-45", "\ud7ff", *"%\x00'\"|>\t"]
SHORT = "\n".join(line for line in (ROOT / "params.yaml").read_text().splitlines() if not line.lstrip().startswith("#"))


@pytest.mark.parametrize("text", ODD_KEYS)
def test_keys_and_values_of_any_kind_are_one_error(text: str) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        params.parse(SHORT.replace("seed: 0 ", f"{text}\nseed: 0 "), Path("params.yaml"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_text_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever stands in place of any value."""
    lines = SHORT.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    key = lines[number].partition(":")[0]
    new = data.draw(st.sampled_from(ODD) | st.text(max_size=12) | st.floats().map(str) | st.integers().map(str))
    lines[number] = data.draw(st.sampled_from([f"{key}: {new}", new, lines[number] + new]))
    try:
        params.parse("\n".join(lines), Path("params.yaml"))
    except ParamsError as error:
        assert "params.yaml" in error.message


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="is missing"):
        params.load(tmp_path / "none.yaml")
