"""Image networks: built from timm, repeatable, and clear about what is missing."""

import json

import pytest
import timm
import torch

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


def test_published_weights_out_of_reach_are_a_data_error_with_the_way_out(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(DataError, match="published weights of test_resnet") as caught:
        build(pretrained=True)
    assert "image_encoder.weights" in caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)


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


def test_mean_and_sd_are_timms():
    net = build()
    published = timm.data.resolve_model_data_config(timm.create_model("test_resnet"))
    assert tuple(net.config["mean"]) == tuple(published["mean"])
    assert tuple(net.config["sd"]) == tuple(published["std"])


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_byobnet", "mobilenetv3_small_050"])
def test_dim_is_the_width_of_the_features(name):
    net = build(model=f"timm:{name}").eval()
    assert net(pixels()).shape == (2, net.dim)


def test_config_written_as_json_rebuilds_it():
    net = build(seed=5).eval()
    again = rebuild_image_network(json.loads(json.dumps(net.config)))
    again.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(again.eval()(pixels()), net(pixels()))


def test_statistics_of_pixels_are_config_and_not_weights():
    assert not {"mean", "sd"} & set(build().state_dict())
