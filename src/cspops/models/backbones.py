"""The image network F*: a model of timm or torchvision without its classifier."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, FiniteFloat
from torch import nn

from cspops.errors import ParamsError
from cspops.models.checkpoint import Config
from cspops.models.image_architectures import architecture, published_by_torchvision
from cspops.models.image_weights import fitted, read_image_weights
from cspops.params.sections import Interpolation
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Tensor, UInt8


class ImageNetworkConfig(BaseModel):
    """What the config.json of an image network must hold; early ones have no crop and interpolation."""

    model: Annotated[str, Field(pattern=r"^(timm|torchvision):.+")]
    px: Annotated[int, Field(ge=8, le=2048)]
    crop: Annotated[float, Field(gt=0, le=10)] = 1.0
    interpolation: Interpolation = "bicubic"
    mean: Annotated[list[FiniteFloat], Field(min_length=3, max_length=3)]
    sd: Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=3, max_length=3)]


class ImageNetwork(nn.Module):
    """F: from uint8 RGB tiles to pooled features.

    Args:
        config: ``{"model": "timm:NAME", "px": side, "mean": [3], "sd": [3], ...}``; it rebuilds the module, and states
            how images become squares (`decoding.squares`). Pixels are scaled to [0, 1], then
            (x - mean) / sd.
        network: (n, 3, h, w) to (n, k).
    """

    def __init__(self, config: Config, network: nn.Module) -> None:
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
        """Return k, measured on an output: the width that models state is not always that of their output."""
        training = self.network.training
        px = self.config["px"]
        try:
            features = self.network.eval()(torch.zeros(1, 3, px, px))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ParamsError(
                f"params.yaml: image_encoder: {self.config['model']} does not take images of {px} px: {error}",
                hint="set image_encoder.px to the side that the model was made for, or to null, which is that side",
            ) from None
        finally:
            self.network.train(training)
        width: int = features.shape[1]
        return width

    def forward(self, pixels: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n k"]:
        return self.features(pixels.permute(0, 3, 1, 2).float() / 255)

    def features(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        """Return features of pixels in [0, 1], channels first."""
        # channels last: convolutions on it are faster on CPUs and on tensor cores
        normed = ((pixels - self.mean) / self.sd).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.network(normed)
        return out


def build_image_network(
    model: str,
    *,
    pretrained: bool,
    px: int | None,
    seed: int,
    crop: float | None = 1.0,
    interpolation: str | None = "bicubic",
    file: Path | None = None,
) -> ImageNetwork:
    """Make the network with random weights of stream ``seed``, with published ones, or with those of a file.

    Args:
        model: `timm:NAME` or `torchvision:NAME`.
        pretrained: whether weights are those that timm or torchvision publishes.
        px: side of the images in pixels; None, here and below, stands for what the model was made for.
        seed: of random weights.
        crop: share of the shorter side that the centre square keeps.
        interpolation: see `pixels.INTERPOLATIONS`.
        file: of weights; see `image_weights`.

    Raises:
        ParamsError: there is no such model, or it does not take such images.
        DataError: the published weights are neither in the cache nor can be downloaded; the file cannot be used.
    """
    with global_torch_stream(seed, "image network"):
        made = architecture(model, pretrained=pretrained)
    library, _, name = model.partition(":")
    weights: Any = "pretrained" if pretrained else "random"
    if file is not None:
        read = read_image_weights(file, made.network, heads=made.heads, model=model)
        made.network.load_state_dict(read.state)
        weights = {"file": file.name, "sha256": read.sha256, "left_out": list(read.left_out)}
    elif pretrained and library == "torchvision":
        source = f"what torchvision publishes of {name}"
        state, _ = fitted(published_by_torchvision(name), made.network, heads=made.heads, source=source, model=model)
        made.network.load_state_dict(state)
    config = {
        "model": model,
        "px": made.px if px is None else px,
        "crop": made.crop if crop is None else crop,
        "interpolation": made.interpolation if interpolation is None else interpolation,
        "mean": list(made.mean),
        "sd": list(made.sd),
        "weights": weights,
    }
    return ImageNetwork(config, made.network.to(memory_format=torch.channels_last))


def rebuild_image_network(config: Config) -> ImageNetwork:
    """Build the module of a config.json, before its weights are loaded; early configs have no crop and interpolation."""
    with global_torch_stream(0, "image network"):
        made = architecture(config["model"])
    whole = {"crop": 1.0, "interpolation": "bicubic"} | config
    return ImageNetwork(whole, made.network.to(memory_format=torch.channels_last))


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 on a GPU that computes in it (Ampere and later), float16 on an older one, None elsewhere."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which products and convolutions on ``device`` are in `half_precision`; weights stay float32."""
    dtype = half_precision(device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def training_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return `autocast` with bfloat16 alone: it has float32's range, so that gradients neither overflow nor vanish.

    float16 would need the loss scaled; a GPU that has no bfloat16 trains in float32.
    """
    dtype = half_precision(device)
    return torch.autocast(device.type, dtype=dtype) if dtype is torch.bfloat16 else nullcontext()
