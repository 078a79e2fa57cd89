"""Weights of image networks from files in the layouts that others write: the same answers, or what does not fit."""

import argparse
import hashlib
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from cspops.errors import DataError
from cspops.models.backbones import build_image_network
from cspops.models.image_weights import fitted

TINY = "timm:test_resnet"
REAL = os.environ.get("CSPOPS_TEST_REALDATA")


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """A network of other weights than those of stream 0, with batch statistics that have seen something."""
    torch.manual_seed(7)
    made = timm.create_model("test_resnet", num_classes=0).train()
    with torch.no_grad():
        made(torch.rand(8, 3, 32, 32))
    return made.eval().to(memory_format=torch.channels_last)  # as the network here: other layouts round otherwise


def load(file: Path, model: str = TINY, px: int = 32):
    return build_image_network(model, pretrained=False, px=px, seed=0, file=file)


def prefixed(state, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def moco(state) -> dict[str, object]:
    """As moco and geography-aware-ssl save: DataParallel around a module with two networks, a queue, heads named fc."""
    head = {
        "fc.0.weight": torch.ones(4, 4),
        "fc.0.bias": torch.ones(4),
        "fc.2.weight": torch.ones(2, 4),
        "fc.2.bias": torch.ones(2),
    }
    keys = {name: torch.full_like(tensor, 3) for name, tensor in state.items()}
    tensors = prefixed({**state, **head}, "module.encoder_q.") | prefixed({**keys, **head}, "module.encoder_k.")
    tensors |= {"module.queue": torch.ones(2, 8), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": OrderedDict(tensors),
        "optimizer": {"state": {}, "param_groups": []},
    }


LAYOUTS = {
    "plain": (lambda state: state, []),
    "with its classifier": (lambda state: {**state, "fc.weight": torch.ones(9, 4), "fc.bias": torch.ones(9)}, ["fc.*"]),
    "DataParallel": (lambda state: prefixed(state, "module."), []),
    "a checkpoint": (lambda state: {"model": state, "epoch": 3}, []),
    "a checkpoint of numpy scalars": (lambda state: {"model_state_dict": state, "best": np.float64(0.5)}, []),
    "a checkpoint of a command line": (lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1)}, []),
    "a detector": (lambda state: {"state_dict": prefixed(state, "module.model.backbone.")}, []),
    "MoCo, Geo-SSL": (
        moco,
        ["module.encoder_k.*", "module.encoder_q.fc.*", "module.queue", "module.queue_ptr"],
    ),
    "torch.compile of DataParallel": (lambda state: prefixed(state, "_orig_mod.module."), []),
    "FSDP": (lambda state: prefixed(state, "_fsdp_wrapped_module."), []),
    "tables in tables": (lambda state: {"checkpoint": {"model_state": prefixed(state, "module.")}, "epoch": 1}, []),
    "a network of any name": (lambda state: prefixed(state, "my.feature_net.") | {"my.neck.weight": torch.ones(3)}, ["my.*"]),
    "DINO": (
        lambda state: {
            "student": prefixed({name: tensor * 0 for name, tensor in state.items()}, "module.backbone."),
            "teacher": prefixed(state, "backbone.") | {"head.mlp.0.weight": torch.ones(2)},
            "epoch": 9,
        },
        ["student.*", "teacher.*"],
    ),
    "BYOL": (
        lambda state: (
            prefixed(state, "online_encoder.net.") | prefixed({n: t * 0 for n, t in state.items()}, "target_encoder.net.")
        ),
        ["target_encoder.*"],
    ),
    "old torch, whose batch norms do not count": (
        lambda state: {name: tensor for name, tensor in state.items() if "num_batches" not in name},
        [],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_outputs_of_the_network_that_was_saved(tmp_path, theirs, layout):
    write, left_out = LAYOUTS[layout]
    file, x = tmp_path / "weights.pth", torch.rand(3, 3, 32, 32)
    torch.save(write(theirs.state_dict()), file)
    made = load(file).eval()
    assert torch.equal(made.network(x), theirs(x))
    about = made.config["weights"]
    assert sorted(about.pop("left_out")) == left_out
    assert about == {"file": "weights.pth", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def save_safetensors(network: nn.Module, file: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
def test_safetensors_by_its_name_or_by_what_is_in_it(tmp_path, theirs, name):
    save_safetensors(theirs, tmp_path / name)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(load(tmp_path / name).eval().network(x), theirs(x))


def test_files_of_half_precision_are_read(tmp_path, theirs):
    torch.save({name: tensor.half() for name, tensor in theirs.state_dict().items()}, tmp_path / "half.pth")
    made = load(tmp_path / "half.pth").network.state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(made[name], tensor.half().to(tensor.dtype)), name


def test_seco_numbers_the_children_of_a_resnet(tmp_path):
    """A .ckpt of PyTorch Lightning: encoder_q is an nn.Sequential of torchvision's children without fc."""
    torch.manual_seed(3)
    encoder = nn.Sequential(*list(torchvision.models.resnet18(weights=None).children())[:-1], nn.Flatten()).eval()
    state = prefixed(encoder.state_dict(), "encoder_q.")
    assert {"encoder_q.0.weight", "encoder_q.1.running_mean", "encoder_q.7.1.bn2.bias"} <= state.keys()
    state |= {
        "encoder_k.0.weight": torch.zeros(64, 3, 7, 7), "queue": torch.ones(3, 2, 4), "queue_ptr": torch.zeros(3, 1),
        "heads_q.0.0.weight": torch.ones(2, 2), "heads_k.0.0.weight": torch.ones(2, 2),
    }  # fmt: skip
    file, x = tmp_path / "seco.ckpt", torch.rand(2, 3, 32, 32)
    torch.save({"epoch": 9, "state_dict": state, "hyper_parameters": argparse.Namespace(base_encoder="resnet18")}, file)
    made = load(file, "torchvision:resnet18").eval()
    torch.testing.assert_close(made.network(x), encoder(x), rtol=1e-4, atol=1e-5)
    assert sorted(made.config["weights"]["left_out"]) == ["encoder_k.*", "heads_k.*", "heads_q.*", "queue", "queue_ptr"]


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("squeezenet1_1", ["classifier.*"]),  # a convolution
        ("mobilenet_v3_small", ["classifier.3.*"]),  # its last layer only
        ("mnasnet0_5", ["classifier.*"]),  # whose class wants a version in the file
    ],
)
def test_torchvisions_own_files_fit(tmp_path, name, left_out):
    torch.manual_seed(3)
    theirs = torchvision.models.get_model(name, weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "published.pth")
    made = load(tmp_path / "published.pth", f"torchvision:{name}").eval()
    assert made.config["weights"]["left_out"] == left_out
    state = made.network.state_dict()
    assert all(torch.equal(tensor, theirs.state_dict()[key]) for key, tensor in state.items())


def test_auxiliary_heads_are_left_out():
    made = nn.Module()
    made.conv, made.fc = nn.Conv2d(3, 4, 1), nn.Identity()
    found = prefixed(made.conv.state_dict(), "conv.") | {
        name: torch.ones(2) for name in ("AuxLogits.fc.bias", "fc.bias", "aux1.x")
    }
    state, left_out = fitted(
        {name: tensor for name, tensor in found.items() if name != "aux1.x"},
        made,
        heads=("fc", "AuxLogits"),
        source="f",
        model="m",
    )
    assert state.keys() == {"conv.weight", "conv.bias"} and set(left_out) == {"AuxLogits.*", "fc.*"}
    with pytest.raises(DataError, match=r"f does not fit m: of its tensors 1 are not of this network \(aux1\.x\)"):
        fitted(found, made, heads=("fc", "AuxLogits"), source="f", model="m")


def test_names_of_densenets_published_files():
    made = nn.Module()
    made.features = nn.Module()
    made.features.denselayer1 = nn.Module()
    made.features.denselayer1.norm1 = nn.BatchNorm2d(2)
    found = prefixed(nn.BatchNorm2d(2).state_dict(), "features.denselayer1.norm.1.")
    state, left_out = fitted(found, made, heads=(), source="f", model="m")
    assert state.keys() == made.state_dict().keys() and not left_out


def refused(file: Path, says: str) -> None:
    with pytest.raises(DataError, match=f"(?m){says}") as caught:
        load(file)
    assert str(file) in caught.value.message
    assert caught.value.hint


def test_a_network_that_is_there_twice_is_not_guessed(tmp_path, theirs):
    state = theirs.state_dict()
    torch.save(prefixed(state, "model.") | prefixed(state, "model_ema."), tmp_path / "two.pth")
    refused(tmp_path / "two.pth", r"two\.pth holds timm:test_resnet 2 times, as model\., model_ema\.$")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(tmp_path, theirs, value):
    torch.save({name: tensor * value for name, tensor in theirs.state_dict().items()}, tmp_path / "nan.pth")
    refused(tmp_path / "nan.pth", "holds values that are no numbers, in ")


def test_what_does_not_fit_is_counted_and_named(tmp_path, theirs):
    file, state = tmp_path / "other.pth", dict(theirs.state_dict())
    first, second, *_ = (name for name in state if name.endswith("weight"))
    del state[first]
    torch.save(state, file)
    refused(file, rf"other\.pth does not fit timm:test_resnet: of its tensors 1 are missing \({first}\)$")
    torch.save({**theirs.state_dict(), **{f"decoder.{number}.weight": torch.ones(1) for number in range(5)}}, file)
    refused(file, r"5 are not of this network \(decoder\.0\.weight, decoder\.1\.weight, decoder\.2\.weight and 2 more\)$")
    bands = theirs.state_dict()[first]
    assert bands.shape[1:] == (3, 3, 3)
    torch.save({**theirs.state_dict(), first: bands.repeat(1, 4, 1, 1)}, file)
    refused(file, rf"1 are of another shape \({first}: {len(bands)} x 12 x 3 x 3 and not {len(bands)} x 3 x 3 x 3\)$")
    torch.save({**prefixed(theirs.state_dict(), "module."), second: theirs.state_dict()[second]}, file)
    refused(file, rf"1 are not of this network \({second}\)$")  # of two for one place
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)
    refused(file, r"\d+ are missing \(.* and \d+ more\), \d+ are not of this network \(.* and \d+ more\)$")


class Foreign:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


def test_nothing_that_a_pickle_asks_for_is_run(tmp_path, theirs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pth"
    for content in ({"state_dict": theirs.state_dict(), "x": Foreign()}, Foreign()):
        torch.save(content, file)
        refused(file, r"holds (posix|nt)\.mkdir, which only running code from the file could load: refused")
    assert not Path("made by a pickle").exists()


def test_stand_ins_do_nothing_with_what_a_pickle_gives_them(tmp_path, theirs):
    """A path is rebuilt by calling its class; here that is not the class."""
    torch.save({"state_dict": theirs.state_dict(), "hyper_parameters": {"data": Path("/data")}}, tmp_path / "a.ckpt")
    load(tmp_path / "a.ckpt")


def test_broken_files_are_refused_in_a_sentence(tmp_path, theirs):
    refused(tmp_path / "none.pth", r"none\.pth is missing")
    refused(tmp_path, "is a folder")
    file = tmp_path / "cut.pth"
    torch.save(theirs.state_dict(), file)
    file.write_bytes(file.read_bytes()[:-5000])
    refused(file, r"cut\.pth is no whole file of torch\.save")
    for text in (b"", b"version https://git-lfs.github.com/spec/v1\n", b"<html></html>"):
        file.write_bytes(text)
        refused(file, "is no whole file of torch.save")
    torch.save([torch.ones(1)], file)
    refused(file, "holds a list, not a table of tensors")
    torch.save({"epoch": 3, "arch": "resnet50"}, file)
    refused(file, "holds no table of tensors, but epoch, arch")
    torch.save({}, file)
    refused(file, "holds no table of tensors, but nothing")
    save_safetensors(theirs, tmp_path / "cut.safetensors")
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    refused(tmp_path / "cut.safetensors", "is no whole safetensors file")


@pytest.mark.skipif(REAL is None, reason="CSPOPS_TEST_REALDATA is not set")
def test_imagenet_weights_tell_land_cover_better_than_random_ones():
    """100 Sentinel-2 thumbnails of 10 classes, each given the class of the nearest mean of the others.

    Right are 63 with SqueezeNet's ImageNet weights and 37 with random ones; each has a standard deviation of 5, their
    difference, as if independent, of 7.
    """
    pictures = sorted((Path(REAL or "") / "eurosat100/png").glob("*/*.png"))
    file = Path(REAL or "") / "weights/squeezenet1_0_deepcompression_torchvision.pth"
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(one).convert("RGB")) for one in pictures]))
    labels = np.array([one.parent.name for one in pictures])
    right = {}
    for kind, given in (("published", file), ("random", None)):
        network = build_image_network("torchvision:squeezenet1_0", pretrained=False, px=64, seed=0, file=given).eval()
        with torch.inference_mode():
            right[kind] = nearest_mean(network(pixels).double().numpy(), labels)
    assert network.dim == 512
    assert right["published"] > 50
    assert right["published"] > right["random"] + 15


def nearest_mean(z: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of standardised, then normed features are nearest to the mean of their class without themselves."""
    z = (z - z.mean(0)) / (z.std(0) + 1e-9)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    names, count = np.unique(labels), 0
    for row in range(len(z)):
        others = np.arange(len(z)) != row
        means = np.stack([z[others & (labels == name)].mean(0) for name in names])
        count += names[np.linalg.norm(means - z[row], axis=1).argmin()] == labels[row]
    return count
