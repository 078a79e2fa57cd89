"""Models on disk: exact round trips, and errors that name the file and the way out."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cspops.errors import DataError
from cspops.models.checkpoint import load_config, load_weights, save_model

REMAKE = "dvc repro pretrain"


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "deep" / "model", network(), {"width": 4, "rate": 0.1, "name": "π"})
    return tmp_path / "deep" / "model"


def test_round_trip_is_exact(folder):
    module = network(seed=1)
    load_weights(folder, module, remake=REMAKE)
    for (name, mine), (same, theirs) in zip(module.state_dict().items(), network().state_dict().items(), strict=True):
        assert name == same
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs), name


def test_round_trip_keeps_half_precision_and_channels_last_values(tmp_path):
    module = network().half().to(memory_format=torch.channels_last)
    save_model(tmp_path, module, {})
    other = network(seed=1).half()
    load_weights(tmp_path, other, remake=REMAKE)
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True))


def test_config_round_trip(folder):
    assert load_config(folder, remake=REMAKE) == {"width": 4, "rate": 0.1, "name": "π"}


def test_writing_twice_gives_the_same_bytes(folder, tmp_path):
    save_model(tmp_path / "again", network(), {"name": "π", "rate": 0.1, "width": 4})
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


def test_two_files_and_no_more(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def fails(folder, module, *mentions: str):
    with pytest.raises(DataError) as caught:
        load_weights(folder, module, remake=REMAKE)
    assert str(folder / "model.safetensors") in caught.value.message
    assert caught.value.hint == REMAKE
    for mention in mentions:
        assert mention in caught.value.message


def test_a_missing_tensor_a_strange_one_another_shape_and_no_file(folder):
    fails(folder, nn.Sequential(*network(), nn.Linear(2, 2)), "4.weight")
    fails(folder, network()[:3], "3.weight")
    fails(folder, nn.Sequential(*network()[:3], nn.Linear(4, 3)), "3.weight")
    (folder / "model.safetensors").unlink()
    fails(folder, network(), "missing")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_truncated_file(folder, kept):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    fails(folder, network())


def test_a_pickle_is_not_loaded(folder):
    torch.save(network().state_dict(), folder / "model.safetensors")
    fails(folder, network())


def test_empty_safetensors_file_is_not_taken_for_a_model(folder):
    save_file({}, folder / "model.safetensors")
    fails(folder, network(), "0.weight")


@pytest.mark.parametrize("broken", [b"", b'{"width": 4', b"\x00\x00\x00", b"\xff\xfe\x00binary"])
def test_broken_config(folder, broken):
    (folder / "config.json").write_bytes(broken)
    with pytest.raises(DataError, match=r"config\.json") as caught:
        load_config(folder, remake=REMAKE)
    assert caught.value.hint == REMAKE


def test_missing_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json is missing") as caught:
        load_config(folder, remake=REMAKE)
    assert caught.value.hint == REMAKE
