"""Every encoding and network of the code can be chosen in params.yaml, with its own settings and no other's."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cspops import params
from cspops.errors import ParamsError
from cspops.models.encodings import ENCODINGS
from cspops.models.encodings.times import TIMES
from cspops.models.location_encoder import LocationEncoder
from cspops.models.networks import NETWORKS
from cspops.params.location_encoders import Encodings, Networks, Times

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    return content


def load(folder: Path, content: dict[str, Any]) -> params.Params:
    file = folder / "params.yaml"
    with file.open("w") as opened:
        YAML().dump(content, opened)
    return params.load(file)


def chosen(good: dict[str, Any], encoding: str, network: str = "ffn") -> dict[str, Any]:
    content = copy.deepcopy(good)
    content["location_encoder"]["encoding"]["name"] = encoding
    content["location_encoder"]["network"]["name"] = network
    return content


def test_params_and_models_know_the_same_names(good: dict[str, Any]) -> None:
    for catalogue, models, section in ((Encodings, ENCODINGS, "encodings"), (Networks, NETWORKS, "networks")):
        assert list(catalogue.fields_by_key()) == list(models) == list(good[section])
    assert list(Times.fields_by_key()) == ["none", *TIMES] == list(good["times"])


@pytest.mark.parametrize("name", TIMES)
def test_every_time_can_be_chosen_seen_and_recorded(good: dict[str, Any], tmp_path: Path, name: str) -> None:
    content = copy.deepcopy(good)
    content["location_encoder"]["time"], content["dataset"]["source"] = name, "inat2018"
    loaded = load(tmp_path, content)
    about = params.view(loaded, params.PretrainView).encoder_config()
    assert about["time"] == {"name": name} | good["times"][name]
    assert LocationEncoder(about).takes_time
    recorded = params.recorded(loaded, "pretrain")
    assert recorded[f"times.{name}"] == good["times"][name]
    assert [key for key in recorded if key.startswith("times.")] == [f"times.{name}"]


def test_without_a_time_the_config_has_no_such_key_and_older_params_mean_that(good: dict[str, Any], tmp_path: Path) -> None:
    older = copy.deepcopy(good)
    del older["times"], older["location_encoder"]["time"]
    configs = [params.view(load(tmp_path, one), params.PretrainView).encoder_config() for one in (good, older)]
    assert configs[0] == configs[1]
    assert set(configs[0]) == {"encoding", "network", "dim"}


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_can_be_chosen_seen_and_recorded(good: dict[str, Any], tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, chosen(good, name))
    about = params.view(loaded, params.PretrainView).encoder_config()
    written = {key: tuple(v) if isinstance(v, list) else v for key, v in good["encodings"][name].items()}
    assert about["encoding"] == {"name": name} | written
    assert LocationEncoder(about).config == about
    recorded = params.recorded(loaded, "pretrain")
    assert recorded[f"encodings.{name}"] == good["encodings"][name]
    assert [key for key in recorded if key.startswith("encodings.")] == [f"encodings.{name}"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_chosen(good: dict[str, Any], tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, chosen(good, "grid", name))
    encoder = LocationEncoder(params.view(loaded, params.PretrainView).encoder_config())
    assert type(encoder.network) is NETWORKS[name]
    assert params.recorded(loaded, "pretrain")[f"networks.{name}"] == good["networks"][name]


def lines_about(folder: Path, content: dict[str, Any]) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        load(folder, content)
    return caught.value.message.splitlines()


def test_a_foreign_setting_is_refused(good: dict[str, Any], tmp_path: Path) -> None:
    content, foreign = copy.deepcopy(good), {}
    for name, own in content["encodings"].items():
        foreign[name] = next(key for key in ("r_min", "degree") if key not in own)
        own[foreign[name]] = 1
    lines = lines_about(tmp_path, content)
    assert len(lines) == len(ENCODINGS)
    for name, line in zip(ENCODINGS, lines, strict=True):
        known = ", ".join(good["encodings"][name]) or "none"
        assert line.startswith(f"params.yaml: encodings.{name}.{foreign[name]}: unknown key; ")
        assert line.endswith("(got 1)")
        assert f"known here: {known} " in line or "did you mean `" in line


def test_a_missing_setting_is_named(good: dict[str, Any], tmp_path: Path) -> None:
    content, missing = copy.deepcopy(good), []
    for name, own in content["encodings"].items():
        if own:
            first = next(iter(own))
            del own[first]
            missing.append(f"params.yaml: encodings.{name}.{first}: the key is missing")
    assert len(missing) == len(ENCODINGS) - 3
    assert lines_about(tmp_path, content) == missing


WRONG = [
    ("encodings", "tile", "cell", 1_000_000.0, "encodings.tile.cell: input should be less than or equal to 90"),
    (
        "encodings",
        "tile",
        "features",
        50_000,
        "encodings.tile: cell 5.0 and features 50000 make a table of 129600000 numbers",
    ),
    ("encodings", "theory", "r_min", 400.0, "encodings.theory: r_min 400.0 must be less than r_max 360.0"),
    ("encodings", "sphereC+", "r_min", 1.0, "encodings.sphereC+: r_min 1.0 must be less than r_max 1.0"),
    ("encodings", "sphereC+", "r_mim", 1.0, "encodings.sphereC+.r_mim: unknown key; did you mean `r_min`?"),
    ("encodings", "sphereM+", "scales", 0, "encodings.sphereM+.scales: input should be greater than or equal to 1"),
    ("encodings", "dfs", "scales", 65, "encodings.dfs.scales: input should be less than or equal to 64"),
    ("encodings", "nerf", "scales", 33, "encodings.nerf.scales: input should be less than or equal to 32"),
    ("encodings", "rbf", "sigma", 0, "encodings.rbf.sigma: input should be greater than or equal to 0.000001"),
    ("encodings", "rff", "variance", -1, "encodings.rff.variance: input should be greater than or equal to 0.000001"),
    ("encodings", "spherical_harmonics", "degree", 129, "encodings.spherical_harmonics.degree: input should be less than or"),
    ("encodings", "equal_earth_rff", "sigmas", [1.0, 1.0], "encodings.equal_earth_rff: sigmas [1.0, 1.0] must increase"),
    ("encodings", "equal_earth_rff", "sigmas", [], "encodings.equal_earth_rff.sigmas"),
    ("networks", "siren", "hidden_layers", 0, "networks.siren.hidden_layers: input should be greater than or equal to 1"),
    ("times", "cos_sin", "dropped", 1.0, "times.cos_sin.dropped: input should be less than 1"),
    ("times", "cos_sin", "orders", 2, "times.cos_sin.orders: unknown key"),
    ("times", "harmonics", "orders", 0, "times.harmonics.orders: input should be greater than or equal to 1"),
    ("times", "harmonics", "dropped", -0.1, "times.harmonics.dropped: input should be greater than or equal to 0"),
    ("networks", "siren", "w0", 0, "networks.siren.w0: input should be greater than or equal to 0.000001"),
]


def test_wrong_settings_are_named(good: dict[str, Any], tmp_path: Path) -> None:
    for turn in range(2):
        wanted, content = [], copy.deepcopy(good)
        for section, name, key, value, says in WRONG[turn::2]:
            content[section][name][key] = value
            wanted.append(says)
        lines = lines_about(tmp_path, content)
        assert len(lines) == len(wanted)
        for says in wanted:
            assert any(line.startswith(f"params.yaml: {says}") for line in lines), (says, lines)


def test_a_misspelt_name_gets_the_nearest_one(good: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"'sphereCplus' is not one of .*; did you mean `sphereC"):
        load(tmp_path, chosen(good, "sphereCplus"))
    content = copy.deepcopy(good)
    content["encodings"]["sphereC_plus"] = content["encodings"].pop("sphereC+")
    with pytest.raises(ParamsError) as caught:
        load(tmp_path, content)
    assert "params.yaml: encodings.sphereC_plus: unknown key; did you mean `sphereC" in caught.value.message


@pytest.mark.parametrize(
    ("weights", "folder"), [("random", None), ("file:a/b c", Path("a/b c")), ("file: ~/e", Path.home() / "e")]
)
def test_weights_are_random_or_name_a_folder(weights: str, folder: Path | None) -> None:
    start = params.with_values(params.default_params(), [("location_encoder.weights", weights)]).location_encoder
    assert start.folder == folder


@pytest.mark.parametrize("weights", ["pretrained", "file:", "file: ", "e.pt"])
def test_other_weights_are_refused(weights: str) -> None:
    with pytest.raises(ParamsError, match=r"location_encoder\.weights"):
        params.with_values(params.default_params(), [("location_encoder.weights", weights)])


def test_gair_s_location_encoder_has_no_other_start() -> None:
    values = {"pretrain_img.method": "gair", "loss": "gair", "location_encoder.weights": "file:e"}
    with pytest.raises(ParamsError, match="takes over GAIR's location encoder"):
        params.with_values(params.default_params(), values.items())


@pytest.mark.parametrize(
    ("time", "says"), [("cosin", "did you mean `cos_sin`"), (True, "is not one of"), (None, "is not one of")]
)
def test_other_times_are_refused(time: Any, says: str) -> None:
    with pytest.raises(ParamsError, match=rf"location_encoder\.time: .*{says}"):
        params.with_values(params.default_params(), [("location_encoder.time", time)])


def test_a_chosen_time_needs_its_section(good: dict[str, Any], tmp_path: Path) -> None:
    content = copy.deepcopy(good)
    content["location_encoder"]["time"], content["dataset"]["source"] = "harmonics", "inat2018"
    content["times"] = {"none": {}}
    assert lines_about(tmp_path, content) == [
        "params.yaml: times.harmonics: the section is missing; location_encoder.time is harmonics"
    ]


def test_gair_s_location_encoder_has_no_time() -> None:
    values = {"pretrain_img.method": "gair", "loss": "gair", "location_encoder.time": "cos_sin", "dataset.source": "folder"}
    with pytest.raises(ParamsError, match=r"which has no time; location_encoder\.time is cos_sin"):
        params.with_values(params.default_params(), values.items())


def test_the_embedded_data_has_no_dates() -> None:
    """An encoder to start from may have a time all the same."""
    with pytest.raises(ParamsError, match=r"location_encoder\.time: cos_sin needs dates"):
        params.with_values(params.default_params(), [("location_encoder.time", "cos_sin")])
    values = {"location_encoder.time": "cos_sin", "location_encoder.weights": "file:e"}
    assert params.with_values(params.default_params(), values.items()).location_encoder.time == "cos_sin"
