"""Image networks: built from timm and torchvision, repeatable, and clear about what is missing."""

import json

import pytest
import timm
import torch
import torchvision

from cspops.errors import DataError, ParamsError
from cspops.models.backbones import build_image_network, rebuild_image_network

TINY = "timm:test_resnet"


def build(seed: int = 0, **changes):
    return build_image_network(**({"model": TINY, "pretrained": False, "px": 32, "seed": seed} | changes))


def pixels(n: int = 2, px: int = 32) -> torch.Tensor:
    return torch.randint(256, (n, px, px, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_unknown_model_is_a_params_error_that_names_near_ones():
    with pytest.raises(ParamsError, match=r"image_encoder\.model.*'resnet10x'") as caught:
        build(model="timm:resnet10x")
    assert "resnet10t" in caught.value.hint
    with pytest.raises(ParamsError, match=r"image_encoder\.model: torchvision has no model 'inceptionv3'") as caught:
        build(model="torchvision:inceptionv3")
    assert "inception_v3" in caught.value.hint
    with pytest.raises(ParamsError, match="torchvision has no model 'fcn_resnet50'"):  # which has one, of another task
        build(model="torchvision:fcn_resnet50")


def test_published_weights_out_of_reach_are_a_data_error_with_the_way_out(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(DataError, match="published weights of test_resnet") as caught:
        build(pretrained=True)
    assert "image_encoder.weights" in caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("invalid hash value"), KeyError("x")])
def test_torchvisions_weights_out_of_reach_too_and_nothing_is_printed(monkeypatch, capfd, error):
    def offline(url, **options):
        print(f"Downloading: {url}")
        assert options == {"progress": False, "check_hash": True, "weights_only": True}
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(DataError, match="published weights of squeezenet1_1 cannot be had") as caught:
        build(model="torchvision:squeezenet1_1", pretrained=True)
    assert "file:PATH" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_torchvisions_weights_are_taken_without_their_classifier(monkeypatch):
    torch.manual_seed(5)
    published = torchvision.models.squeezenet1_1(weights=None).eval()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda url, **options: published.state_dict())
    made, x = build(model="torchvision:squeezenet1_1", pretrained=True).eval(), torch.rand(2, 3, 32, 32)
    assert made.config["weights"] == "pretrained"
    torch.testing.assert_close(made.network(x), published.features(x).mean((2, 3)))


def test_inception_pools_what_its_own_class_scores():
    """Its features times the published classifier are the published scores, of pixels that it rescales itself.

    Without auxiliary heads, at the least side that it takes. Weights of stream 0 on both sides.
    """
    made = build(model="torchvision:inception_v3", px=75).eval()
    assert made.dim == 2048
    published = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    published.to(memory_format=torch.channels_last)  # other layouts round otherwise
    published.load_state_dict(made.network.state_dict(), strict=False)
    x = torch.rand(1, 3, 75, 75)
    torch.testing.assert_close(published(x), published.fc(made.network(x)))


def test_null_is_what_the_model_was_made_for():
    """By the tables of both libraries: torchvision resizes to 256 and keeps 224."""
    own = {"px": None, "crop": None, "interpolation": None}
    config = build(model="torchvision:squeezenet1_1", **own).config
    assert (config["px"], config["crop"], config["interpolation"]) == (224, 224 / 256, "bilinear")
    assert config["mean"] == [0.485, 0.456, 0.406] and config["sd"] == [0.229, 0.224, 0.225]
    published = timm.data.resolve_model_data_config(timm.create_model("test_resnet"))
    config = build(**own).config
    assert (3, config["px"], config["px"]) == published["input_size"]
    assert (*config["mean"], *config["sd"]) == (*published["mean"], *published["std"])
    assert (config["crop"], config["interpolation"]) == (published["crop_pct"], published["interpolation"])
    config = build().config
    assert (config["px"], config["crop"], config["interpolation"], config["weights"]) == (32, 1.0, "bicubic", "random")


def test_a_config_of_old_still_loads():
    old = {name: value for name, value in build().config.items() if name in ("model", "px", "mean", "sd")}
    made = rebuild_image_network(old | {"mean": [0.0, 0.0, 0.0]})
    assert (made.config["crop"], made.config["interpolation"]) == (1.0, "bicubic")
    assert made.mean.tolist() == [[[0.0]], [[0.0]], [[0.0]]]  # of the config, whatever timm says today


def test_a_side_that_the_model_does_not_take_is_a_params_error():
    with pytest.raises(ParamsError, match=r"torchvision:squeezenet1_1 does not take images of 8 px") as caught:
        build(model="torchvision:squeezenet1_1", px=8)
    assert "null" in caught.value.hint


def test_other_failures_are_not_blamed_on_the_network(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("boom")

    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(RuntimeError, match="boom"):
        build()


def test_same_seed_same_weights_other_seed_others():
    one, same, other = (build(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["network.conv1.0.weight"], other["network.conv1.0.weight"])


def test_the_global_stream_is_left_where_it_was():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)


def test_forward_is_features_of_scaled_channels_first_pixels():
    """Bytes / 255, then (x - mean) / sd by the model's own statistics, then the timm network: checked with plain timm."""
    net, x = build().eval(), pixels()
    assert torch.equal(net(x), net.features(x.permute(0, 3, 1, 2).float() / 255))
    mean, sd = torch.tensor(net.config["mean"]), torch.tensor(net.config["sd"])
    normed = ((x.double() / 255 - mean) / sd).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(net(x), net.network(normed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["timm:test_resnet", "timm:test_efficientnet", "timm:mobilenetv3_small_050", "torchvision:shufflenet_v2_x0_5"]
)
def test_dim_is_the_width_of_the_features(name):
    net = build(model=name).eval()
    assert net(pixels()).shape == (2, net.dim)


def test_config_written_as_json_rebuilds_it():
    net = build(seed=5).eval()
    again = rebuild_image_network(json.loads(json.dumps(net.config)))
    again.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(again.eval()(pixels()), net(pixels()))


def test_statistics_of_pixels_are_config_and_not_weights():
    assert not {"mean", "sd"} & set(build().state_dict())
