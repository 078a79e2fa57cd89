"""Load location encoders, location classifiers and image classifiers from their folders, ready to use.

>>> from cspops.models.loading import load_location_encoder
>>> encoder = load_location_encoder(Path("artifacts/pretrain/seed_0"))  # doctest: +SKIP
>>> encoder(torch.tensor([[8.5, 47.4]])).shape  # longitude first  # doctest: +SKIP
torch.Size([1, 256])
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

from torch import nn

from cspops.artefacts import json_as
from cspops.errors import DataError, ParamsError
from cspops.models.checkpoint import Config, load_config, load_weights
from cspops.models.fusion_head import FusionHead
from cspops.models.heads import IMAGE_HEAD, ClassEmbedding, ImageHead, LinearProbe
from cspops.models.location_encoder import Link, LocationClassifier, LocationEncoder
from cspops.seeds import global_torch_stream

if TYPE_CHECKING:
    from cspops.models.backbones import ImageNetwork

ENCODERS = "name artifacts/pretrain/seed_0, say, or encoder/ in a folder that cspops import-checkpoint wrote"
CLASSIFIERS = "dvc repro finetune-loc, or name classifier/ in a folder that cspops import-checkpoint wrote"

M = TypeVar("M", bound=nn.Module)


def load_location_encoder(folder: Path | str, *, remake: str = ENCODERS) -> LocationEncoder:
    """Load the encoder in ``folder`` (config.json and model.safetensors), in eval mode, on the CPU.

    It is a folder that `pretrain` wrote for a seed, or `encoder/` of an imported checkpoint.

    Args:
        remake: what the user should do when the encoder is missing or broken.

    Raises:
        DataError: the folder holds no location encoder.
    """
    return _load(Path(folder), LocationEncoder, "location encoder", remake)


def load_location_classifier(folder: Path | str, *, remake: str = CLASSIFIERS) -> LocationClassifier:
    """Load the location encoder with class embeddings in ``folder``, in eval mode, on the CPU.

    It is a folder that `finetune-loc` wrote for a seed and label ratio, or `classifier/` of an imported checkpoint.

    Raises:
        DataError: the folder holds no location classifier.
    """

    def build(config: Config) -> LocationClassifier:
        encoder, link, bias = LocationEncoder(config["encoder"]), config.get("link", "sigmoid"), config.get("bias", False)
        if link not in get_args(Link) or not isinstance(bias, bool):
            raise ValueError(link, bias)
        return LocationClassifier(encoder, ClassEmbedding(encoder.dim, config["classes"], bias=bias), link=link)

    return _load(Path(folder), build, "location classifier", remake)


def load_image_classifier(folder: Path | str, *, remake: str = "dvc repro finetune-img") -> LinearProbe | ImageHead:
    """Load the classifier g in ``folder``, in eval mode, on the CPU: on frozen features, or on those of a fine-tuned network.

    It is a folder that `finetune-img` wrote for a seed and label ratio.

    Raises:
        DataError: the folder holds no image classifier.
    """

    def build(config: Config) -> LinearProbe | ImageHead:
        keywords = {key: value for key, value in config.items() if key != "kind"}
        return ImageHead(**keywords) if config.get("kind") == IMAGE_HEAD else LinearProbe(**keywords)

    return _load(Path(folder), build, "image classifier", remake)


def load_fusion(folder: Path, *, remake: str) -> FusionHead:
    """Load the head on image features and location embeddings in ``folder``, in eval mode, on the CPU.

    Raises:
        DataError: the folder holds none.
    """
    return _load(folder, lambda config: FusionHead(**config), "fusion of image and place", remake)


def load_image_network(folder: Path, *, remake: str) -> "ImageNetwork":
    """Load the image network in ``folder``, on the CPU, in training mode as it was made.

    It is the folder of stage pretrain-img, or `network/` of a fine-tuned piece.

    Raises:
        DataError: the folder holds no image network.
    """
    from cspops.models.backbones import ImageNetworkConfig, rebuild_image_network

    json_as(folder / "config.json", ImageNetworkConfig, remake=remake)
    try:
        network = rebuild_image_network(load_config(folder, remake=remake))
    except ParamsError as error:  # a name that is unknown here, a side that it does not take
        why = error.message.removeprefix("params.yaml: ")
        raise DataError(f"{folder / 'config.json'} describes no image network: {why}", hint=remake) from None
    load_weights(folder, network, remake=remake)
    return network


def _load(folder: Path, build: Callable[[Config], M], what: str, remake: str) -> M:
    config = load_config(folder, remake=remake)
    try:
        with global_torch_stream(0, "loading"):  # initial weights, all replaced below
            model = build(config)
    except Exception:  # whatever a module's own code raises at values of another kind
        raise DataError(f"{folder / 'config.json'} describes no {what}", hint=remake) from None
    load_weights(folder, model, remake=remake)
    return model.eval()
