"""The overhead image as a map of features, and what it says at a point inside it."""

import copy
from typing import Any

import torch
from torch import nn

from cspops.errors import ParamsError, nearest
from cspops.gair.nili import Nili
from cspops.models.checkpoint import Config
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Tensor, UInt8


class FeatureMap(nn.Module):
    """A timm network cut where its feature map has one cell per ``stride`` pixels: images to tokens, row by row from the north.

    Args:
        config: ``{"model": "timm:NAME", "px": side, "stride": pixels a cell, "interpolation": ..., "mean": [3], "sd": [3]}``.
            Whole images are resized to ``px``; pixels are scaled to [0, 1], then (x - mean) / sd.
        pretrained: whether the weights are those that timm publishes.

    Raises:
        ParamsError: timm has no such model, or it has no such map.
    """

    def __init__(self, config: Config, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = copy.deepcopy(config)
        at, self.dim = level(config["model"], config["stride"])
        self.network = _cut(config["model"], at, pretrained=pretrained)
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(config["sd"]).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.sd: Tensor

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n cells k"]:
        """Return the tokens of pixels in [0, 1], channels first."""
        normed = ((pixels - self.mean) / self.sd).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.network(normed)[0]
        return out.flatten(2).transpose(1, 2)


def level(model: str, stride: int) -> tuple[int, int]:
    """Return which of the network's maps is the last with this stride, and the width of its features; no weight is made.

    Raises:
        ParamsError: as `FeatureMap`.
    """
    import timm

    name, key = model.removeprefix("timm:"), "params.yaml: pretrain_img.methods.gair.overhead"
    if not timm.is_model(name):
        near = ", ".join(nearest(name, timm.list_models()))
        raise ParamsError(
            f"{key}.model: timm has no model {name!r}", hint=f"near it: {near}" if near else "timm:resnet10t, say"
        )
    try:
        with torch.device("meta"):
            about: Any = timm.create_model(name, features_only=True).feature_info
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ParamsError(f"{key}.model: {name} gives no feature map: {error}", hint="timm:resnet10t, say") from None
    strides: list[int] = about.reduction()
    if stride not in strides:
        kinds = ", ".join(map(str, sorted(set(strides))))
        raise ParamsError(f"{key}.stride is {stride}, and the feature maps of {name} have {kinds}", hint="set one of these")
    at = len(strides) - 1 - strides[::-1].index(stride)
    return at, int(about.channels()[at])


def _cut(model: str, at: int, *, pretrained: bool) -> nn.Module:
    """Return the network up to one of its maps."""
    import timm

    network = timm.create_model(model.removeprefix("timm:"), features_only=True, out_indices=(at,), pretrained=pretrained)
    out: nn.Module = network.to(memory_format=torch.channels_last)
    return out


class LocalizedOverhead(nn.Module):
    """r: the feature of an overhead image at points inside its footprint.

    Args:
        config: ``{"map": a `FeatureMap`'s, "decoder": a `Nili`'s, "dim": d}``.
    """

    def __init__(self, config: Config, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = copy.deepcopy(config)
        self.map = FeatureMap(config["map"], pretrained=pretrained)
        self.nili = Nili(self.map.dim, config["dim"], decoder=config["decoder"])
        self.dim: int = config["dim"]

    def forward(
        self, pixels: UInt8[Tensor, "n h w 3"], bbox: Float[Tensor, "n 4"], lonlat: Float[Tensor, "*places"]
    ) -> Float[Tensor, "*batch d"]:
        """Return the features of bytes at a point, or at m points, of each; see `Nili` for shapes and errors."""
        tokens = self.map(pixels.permute(0, 3, 1, 2).float() / 255)
        out: Tensor = self.nili(tokens, bbox, lonlat)
        return out


def localized_overhead(config: Config, *, seed: int, pretrained: bool) -> LocalizedOverhead:
    """Make one with random weights of stream ``seed``, or with timm's below the decoder."""
    with global_torch_stream(seed, "overhead network"):
        return LocalizedOverhead(config, pretrained=pretrained)
