"""Image networks without their classifier, by the names of timm and torchvision, and how their images are prepared."""

import contextlib
import io
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from torch import nn

from cspops.errors import DataError, ParamsError, nearest
from cspops.shapes import Tensor


@dataclass(frozen=True)
class Architecture:
    """A network, and how its makers prepare its images.

    Args:
        network: images (n, 3, h, w) to pooled features (n, k); random weights, or timm's published ones.
        heads: modules of the published network that this one lacks: classifiers, auxiliary ones too.
        px: side of the images that it was made for, pixels.
        crop: share of the shorter side that the centre square keeps.
        interpolation: by which images are resized.
        mean: of each channel of pixels in [0, 1], subtracted.
        sd: of each channel, divided by.
    """

    network: nn.Module
    heads: tuple[str, ...]
    px: int
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    sd: tuple[float, ...]


def architecture(model: str, *, pretrained: bool = False) -> Architecture:
    """Make ``timm:NAME`` or ``torchvision:NAME``, with weights from torch's global stream or timm's published ones.

    Raises:
        ParamsError: there is no such model.
        DataError: timm's published weights are neither in the cache nor can be downloaded.
    """
    library, _, name = model.partition(":")
    return _of_torchvision(name) if library == "torchvision" else _of_timm(name, pretrained=pretrained)


def _of_timm(name: str, *, pretrained: bool) -> Architecture:
    import timm
    from timm.data import resolve_model_data_config

    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models(), "timm.list_models()")
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:
        if not pretrained:
            raise
        raise _out_of_reach(name, error) from error
    data, published = resolve_model_data_config(network), getattr(network, "pretrained_cfg", None) or {}
    heads = published.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return Architecture(
        network,
        (*heads, "AuxLogits") if name.startswith("inception_v3") else heads,
        px=data["input_size"][-1],
        crop=data["crop_pct"],
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        sd=tuple(data["std"]),
    )


def _of_torchvision(name: str) -> Architecture:
    """Replace the last linear layer by the identity; where the classifier is a convolution, pool its input instead.

    inception_v3 and googlenet take the same normalised pixels as the others and rescale them to those that their published
    weights were made for; torchvision makes them so when it loads these.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown("torchvision", name, known, "torchvision.models.list_models(module=torchvision.models)")
    auxiliary = {"inception_v3": ("AuxLogits",), "googlenet": ("aux1", "aux2")}.get(name, ())
    options: dict[str, Any] = {"aux_logits": False, "transform_input": True, "init_weights": True} if auxiliary else {}
    network: nn.Module = models.get_model(name, weights=None, **options)
    if name.startswith("squeezenet"):
        network, head = Pooled(features=network.get_submodule("features")), "classifier"
    elif name.startswith("mnasnet"):  # whose own class loads no file without versions, such as safetensors
        network, head = Pooled(layers=network.get_submodule("layers")), "classifier"
    else:
        head = [at for at, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
        network.set_submodule(head, nn.Identity())
    setattr(network, "pretrained_cfg", {"classifier": head})  # noqa: B010  # as timm's have it: its rates by layer leave it out
    prepare = models.get_model_weights(name).DEFAULT.transforms()
    return Architecture(
        network,
        (head, *auxiliary),
        px=prepare.crop_size[0],
        crop=prepare.crop_size[0] / prepare.resize_size[0],
        interpolation=prepare.interpolation.value,
        mean=tuple(prepare.mean),
        sd=tuple(prepare.std),
    )


class Pooled(nn.Sequential):
    """The mean over the image of one module's output; the module keeps its name."""

    def __init__(self, **module: nn.Module) -> None:
        super().__init__(OrderedDict(module | {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}))


def published_by_torchvision(name: str) -> dict[str, Tensor]:
    """Return the weights that torchvision recommends for a model, under its names, from its cache or downloaded.

    Raises:
        DataError: they are neither in the cache nor can be downloaded.
    """
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torch.hub reports a download there
            state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        raise _out_of_reach(name, error) from error
    return state


def _out_of_reach(name: str, error: Exception) -> DataError:
    """Return the error of a failed download, whatever the failure."""
    return DataError(
        f"the published weights of {name} cannot be had: {type(error).__name__}",
        hint="connect once, or set image_encoder.weights in params.yaml to random, or to file:PATH of a file that you have",
    )


def _unknown(library: str, name: str, known: list[str], listing: str) -> ParamsError:
    near = ", ".join(nearest(name, known, most=5)) or f"see {listing}"
    return ParamsError(f"params.yaml: image_encoder.model: {library} has no model {name!r}", hint=f"near it: {near}")
