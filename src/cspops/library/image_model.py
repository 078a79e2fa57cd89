"""The image side of a model: from a caller's images to features and log P(y|I)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from cspops.data.given_features import GIVEN
from cspops.errors import DataError
from cspops.evaluation.predictor import ImagePredictor
from cspops.models.backbones import ImageNetwork
from cspops.models.checkpoint import load_config
from cspops.models.image_features import image_features
from cspops.models.loading import load_image_classifier, load_image_network
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb, square
from cspops.pixels.tensors import read_reading
from cspops.pixels.unreadable import UnreadableImage
from cspops.shapes import Float, Tensor, UInt8

BATCH = 64
KINDS = "images are paths, bytes or PIL images in a list, or uint8 of shape (n, height, width, 3)"


@dataclass(frozen=True)
class ImageModel:
    """F and g: an image network, and the classifier on its features where there is one."""

    network: ImageNetwork
    head: nn.Module | None
    reading: Reading
    """How images of more than 8 bits or three bands become RGB, as when the model was trained."""
    device: torch.device
    folder: Path | None = None
    """The folder that the network was read from."""

    def features(self, images: Any) -> Float[Tensor, "n k"]:
        """Return F(I), float32; computed and rounded as by stage featurize, so that a head sees what it was trained on.

        Raise a DataError, with path or number, for an image that cannot be read.
        """
        return self.features_of_squares(self._squares(images))

    def features_of_squares(self, squares: Iterable[UInt8[np.ndarray, "px px 3"]]) -> Float[Tensor, "n k"]:
        """Return `features` of squares that `square_of` returned."""
        source = iter(squares)
        batches = (torch.from_numpy(np.stack(some)) for some in iter(lambda: list(islice(source, BATCH)), []))
        parts = [features.float() for features in image_features(self.network, batches, device=self.device)]
        return torch.cat(parts) if parts else torch.empty(0, self.network.dim)

    @property
    def predictor(self) -> ImagePredictor:
        """The predictor of log P(y|I) from `features`; DataError without a classifier."""
        if self.head is None:
            raise DataError(
                "this model has no image classifier: its P(y|I) are those that came with the data",
                hint="finetune_img.mode: linear_probe in params.yaml, then dvc repro",
            )
        return ImagePredictor(self.head, self.device)

    def square_of(self, image: Any) -> UInt8[np.ndarray, "px px 3"]:
        """Return an image as input of the network; raise UnreadableImage where it cannot be read."""
        config = self.network.config
        return square(self._rgb(image), config["px"], crop=config["crop"], interpolation=config["interpolation"])

    def _squares(self, images: Any) -> Iterator[UInt8[np.ndarray, "px px 3"]]:
        for number, image in enumerate(listed(images)):
            try:
                yield self.square_of(image)
            except UnreadableImage as error:
                name = str(image) if isinstance(image, str | Path) else f"number {number}"
                raise DataError(f"image {name} cannot be used: {error}", hint=KINDS) from None

    def _rgb(self, image: Any) -> Image.Image:
        if isinstance(image, Image.Image):
            return image.convert("RGB")
        if isinstance(image, np.ndarray):
            return Image.fromarray(image)
        return open_rgb(image if isinstance(image, bytes) else Path(image), reading=self.reading)


def listed(images: Any) -> Sequence[Any]:
    """Return images as a list, one item per image."""
    if isinstance(images, Tensor):
        images = images.cpu().numpy()
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise DataError(f"images are {images.dtype} of shape {images.shape}", hint=KINDS)
        return list(images)
    if isinstance(images, str | bytes | Path | Image.Image):
        hint = f"[{str(images)!r}]" if isinstance(images, (str, Path)) else KINDS
        raise DataError(f"images are one {type(images).__name__}, not a list of them", hint=hint)
    items = list(images)
    for number, one in enumerate(items):
        if not isinstance(one, str | bytes | Path | Image.Image | np.ndarray):
            raise DataError(f"image number {number} is a {type(one).__name__}", hint=KINDS)
    return items


def load_head(folder: Path, network: ImageNetwork, classes: int, *, remake: str) -> nn.Module:
    """Load the classifier g in ``folder``; DataError where it is not one of ``classes`` on the features of ``network``."""
    head = load_image_classifier(folder, remake=remake)
    takes, knows = head.config["dim"], head.config["classes"]
    if (takes, knows) != (network.dim, classes):
        raise DataError(
            f"{folder} holds an image classifier of {knows} classes on {takes} features: the network gives {network.dim}, "
            f"and the location classifier has {classes} classes",
            hint=remake,
        )
    return head


def load_image_model(
    run: Path, piece: Path, classes: int, device: torch.device, *, like: ImageModel | None = None
) -> ImageModel | None:
    """Load the image model of a whole run, for so many ``classes``, in eval mode on ``device``.

    The network is the fine-tuned one of the piece where there is one, else F*. None is returned where there is neither, as
    where the data came with image features. A network that ``like``, the model of another piece, holds already is shared.
    """
    folder = run / "finetune_img" / piece
    fine_tuned = folder / "network"
    network_folder, remake = (
        (fine_tuned, "dvc repro finetune-img") if fine_tuned.is_dir() else (run / "pretrain_img", "dvc repro pretrain-img")
    )
    if not (network_folder / "config.json").exists():
        return None
    if load_config(network_folder, remake=remake).get("model") == GIVEN:
        return None
    if like is not None and like.folder == network_folder:
        network = like.network
    else:
        network = load_image_network(network_folder, remake=remake).to(device).eval()
    head = None
    if (folder / "config.json").exists():
        head = load_head(folder, network, classes, remake="dvc repro finetune-img").to(device)
    return ImageModel(network, head, read_reading(run / "download"), device, network_folder)
