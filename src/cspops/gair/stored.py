"""What GAIR's pre-training leaves in the folder of stage pretrain-img, besides F*."""

from pathlib import Path

import torch
from torch import nn

from cspops.data.given_features import save_config
from cspops.errors import DataError, ParamsError
from cspops.gair.alignment import Alignment
from cspops.gair.overhead import LocalizedOverhead
from cspops.models.backbones import ImageNetwork
from cspops.models.checkpoint import Config, load_config, load_weights, save_model
from cspops.models.loading import load_image_network, load_location_encoder
from cspops.models.location_encoder import LocationEncoder
from cspops.seeds import global_torch_stream

REMAKE = "dvc exp run -S pretrain_img.method=gair -S loss=gair"
AT_PLACE = "overhead_at_place"
"""The `features` in the config.json of F* where it is no network of photos, but the overhead image at the row's place."""


def save_gair(folder: Path, alignment: Alignment, network: ImageNetwork, *, features: str) -> None:
    """Write F*, and below `gair/` location/, overhead/ and, where there were photos, projection/.

    Where F* is the overhead image at the row's place, the photos' ``network`` is in `gair/photo/`, and config.json says that
    there is none for a photo alone.
    """
    parts: dict[str, tuple[nn.Module, Config]] = {
        "location": (alignment.location, alignment.location.config),
        "overhead": (alignment.overhead, alignment.overhead.config),
    }
    if alignment.projection is not None:
        about = {"dim": alignment.projection.in_features, "dim_out": alignment.projection.out_features}
        parts["projection"] = alignment.projection, about
    if features == AT_PLACE:
        save_config(folder, alignment.overhead.dim, features=AT_PLACE)
        if alignment.photo is not None:
            parts["photo"] = network, network.config
    else:
        save_model(folder, network, network.config)
    for name, (module, config) in parts.items():
        save_model(folder / "gair" / name, module, config)


def is_at_place(pretrain_img: Path) -> bool:
    """Whether F* is the overhead image at the row's place."""
    return load_config(pretrain_img, remake="dvc repro pretrain-img").get("features") == AT_PLACE


def load_gair_location(pretrain_img: Path) -> LocationEncoder:
    """Load the location encoder; DataError where ``pretrain_img`` was made by another method."""
    return load_location_encoder(_folder(pretrain_img, "location"), remake=REMAKE)


def load_overhead(pretrain_img: Path) -> LocalizedOverhead:
    """Load the overhead network with its decoder, in eval mode, on the CPU."""
    folder = _folder(pretrain_img, "overhead")
    config = load_config(folder, remake=REMAKE)
    try:
        with global_torch_stream(0, "loading"):  # initial weights, all replaced below
            overhead = LocalizedOverhead(config)
    except (KeyError, TypeError, ValueError, ParamsError):
        raise DataError(f"{folder / 'config.json'} describes no overhead network", hint=REMAKE) from None
    load_weights(folder, overhead, remake=REMAKE)
    return overhead.eval()


def load_photo_network(pretrain_img: Path) -> ImageNetwork:
    """Load the network of photos, in eval mode, on the CPU; DataError where there were none."""
    folder = _folder(pretrain_img, "photo") if is_at_place(pretrain_img) else pretrain_img
    return load_image_network(folder, remake=REMAKE).eval()


def load_projection(pretrain_img: Path) -> nn.Linear:
    """Load the projection of photo features, on the CPU; DataError where there were no photos."""
    folder = _folder(pretrain_img, "projection")
    config = load_config(folder, remake=REMAKE)
    try:
        projection = nn.Linear(config["dim"], config["dim_out"], device=torch.device("cpu"))
    except (KeyError, TypeError, RuntimeError):
        raise DataError(f"{folder / 'config.json'} describes no projection", hint=REMAKE) from None
    load_weights(folder, projection, remake=REMAKE)
    return projection


def _folder(pretrain_img: Path, name: str) -> Path:
    folder = pretrain_img / "gair"
    if not folder.is_dir():
        raise DataError(f"{pretrain_img} holds no GAIR model: it was made by another pretrain_img.method", hint=REMAKE)
    if not (folder / name).is_dir():
        if is_at_place(pretrain_img) and not (folder / "projection").is_dir():
            raise DataError(f"{pretrain_img} holds no {name}: its GAIR model was trained without photos", hint=REMAKE)
        raise DataError(f"{folder / name} is missing", hint="dvc checkout, or dvc repro -f pretrain-img")
    return folder / name
