"""The image network F*: a timm model without its classifier."""

import difflib
from typing import Any

import torch
from torch import nn

from cspops.errors import DataError, ParamsError
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Tensor, UInt8


class ImageNetwork(nn.Module):
    """F: uint8 RGB tiles to pooled features.

    Args:
        config: ``{"model": "timm:NAME", "px": side, "mean": [3], "sd": [3]}``; it rebuilds the module. Pixels are
            scaled to [0, 1], then (x - mean) / sd.
    """

    def __init__(self, config: dict[str, Any], network: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(config["sd"]).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.sd: Tensor
        self.dim = self._width()

    @torch.no_grad()
    def _width(self) -> int:
        """k, read off an answer: what timm's models say of themselves is not always what they give."""
        training = self.network.training
        px = self.config["px"]
        try:
            answer = self.network.eval()(torch.zeros(1, 3, px, px))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ParamsError(
                f"params.yaml: image_encoder: {self.config['model']} does not take images of {px} px: {error}",
                hint="set image_encoder.px to the side that the model was made for",
            ) from None
        finally:
            self.network.train(training)
        width: int = answer.shape[1]
        return width

    def forward(self, pixels: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n k"]:
        return self.features(pixels.permute(0, 3, 1, 2).float() / 255)

    def features(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        """Features of pixels in [0, 1], channels first."""
        normed = ((pixels - self.mean) / self.sd).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.network(normed)
        return out


def build_image_network(model: str, *, pretrained: bool, px: int, seed: int) -> ImageNetwork:
    """Make the network with random weights of stream ``seed``, or with timm's published ones.

    Raises:
        ParamsError: timm has no such model.
        DataError: the published weights are neither in the cache nor to be had.
    """
    import timm
    from timm.data.config import resolve_model_data_config

    name = model.removeprefix("timm:")
    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)) or "see timm.list_models()"
        raise ParamsError(f"params.yaml: image_encoder.model: timm has no model {name!r}", hint=f"near it: {near}")
    with global_torch_stream(seed, "image network"):
        try:
            network = timm.create_model(name, pretrained=pretrained, num_classes=0)
        except Exception as error:
            if not pretrained:
                raise
            raise DataError(
                f"the published weights of {name} cannot be had: {type(error).__name__}",
                hint="connect once, or set image_encoder.weights to random in params.yaml",
            ) from error
    data = resolve_model_data_config(network)
    config = {"model": model, "px": px, "mean": list(data["mean"]), "sd": list(data["std"])}
    return ImageNetwork(config, network.to(memory_format=torch.channels_last))


def rebuild_image_network(config: dict[str, Any]) -> ImageNetwork:
    """The module that a config.json describes, before its weights are loaded."""
    return build_image_network(config["model"], pretrained=False, px=config["px"], seed=0)
