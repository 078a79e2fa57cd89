"""Stage pretrain-img: the frozen image network F*, self-supervised on the training tiles, random or published."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cspops.data.catalogue import read_captures
from cspops.data.given_features import GIVEN, read_given, save_config
from cspops.data.splits import read_roles
from cspops.imagessl.images import Pretrained, UnlabelledImages
from cspops.imagessl.methods import METHODS
from cspops.models.backbones import ImageNetwork, build_image_network
from cspops.models.checkpoint import save_model
from cspops.params.image_networks import Gair
from cspops.params.sections import ImageEncoder
from cspops.pipeline.pixels import Squares, decoded, on_device
from cspops.pipeline.pretrain_gair import pretrain_gair
from cspops.pipeline.pretraining_inputs import extra_inputs
from cspops.pixels.reading import image_root
from cspops.pixels.tensors import read_reading
from cspops.shapes import Tensor, UInt8
from cspops.site import Site
from cspops.training.curves import write_curve
from cspops.training.loop import Run
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.params.graph import PretrainImgView

log = logging.getLogger(__name__)


ROLE = {"train": "training", "val": "validation"}


def run(view: "PretrainImgView", site: Site) -> None:
    """Write model.safetensors, config.json, the curve and the facts. Only training rows are read, and no label.

    A data set that comes with image features needs no network: its config.json says so, and there are no weights.
    """
    about, download = view.image_encoder, site.inputs["download"]
    given = read_given(download, image_root(read_reading(download), raw=site.raw, data_root=site.host.data_root))
    pretrained = Pretrained([])
    facts: dict[str, Any] = {"method": view.method}
    if given is not None:
        save_config(site.out, given.width)
        facts["method"] = GIVEN
        log.info(f"pretrain-img: the data set comes with {given.width} image features: no network is made")
    else:
        network = network_of(about, seed=about.seed)
        run = Run(about.seed, site.host.torch_device(), Resume(site.scratch), site.processes)
        if isinstance(view.settings, Gair):
            pretrained, facts["retrieval"] = pretrain_gair(network, view.settings, site, run)
        else:
            if view.method != "none":
                images = training_images(network, site, run.device)
                extra = extra_inputs(view.settings, images, site)
                pretrained = METHODS[view.method](network, images, view.settings, run, **extra)
            save_model(site.out, network.to(torch.device("cpu")), network.config)
    columns = list(pretrained.curve[0]) if pretrained.curve else ["epoch", "total"]
    write_curve(site.reports / "curves" / "pretrain_img.tsv", pretrained.curve, columns=columns)
    (site.reports / "pretrain_img.json").write_text(json.dumps(facts | pretrained.facts, indent=1) + "\n")


def training_images(network: ImageNetwork, site: Site, device: torch.device) -> UnlabelledImages:
    """Return the training rows, on ``device`` where they are few, each image as the whole centre square to cut views from."""
    captures = read_captures(site.inputs["download"])
    train = read_roles(site.inputs["split"], captures.obs_id)["train"]
    pixels = role_pixels("train", Squares(network.config["px"], interpolation=network.config["interpolation"]), site)
    return UnlabelledImages(
        on_device(pixels, device),
        captures.lonlat[train],
        captures.place[train],
        captures.captured_at[train],
    )


def network_of(about: ImageEncoder, *, seed: int) -> ImageNetwork:
    """Return the network of `image_encoder` of params.yaml, before it is trained."""
    _, given, name = about.weights.partition("file:")
    network = build_image_network(
        about.model,
        pretrained=about.weights == "pretrained",
        px=about.px,
        seed=seed,
        crop=about.crop,
        interpolation=about.interpolation,
        file=Path(name).expanduser() if given else None,
    )
    if given:
        file = network.config["weights"]
        left_out = ", ".join(file["left_out"]) or "nothing"
        log.info(f"pretrain-img: weights of {name}, sha256 {file['sha256'][:12]}; left out: {left_out}")
    return network


def role_pixels(role: str, square: Squares, site: Site, *, stage: str = "pretrain-img") -> UInt8[Tensor, "n px px 3"]:
    """Return the images of a role's rows, memory-mapped from a file of the stage's progress.

    Each is the whole centre square, whatever `image_encoder.crop` is: random crops are cut from it.

    Raises:
        EnvironmentProblem: the disk has no room for them.
    """
    obs_id = read_captures(site.inputs["download"]).obs_id
    rows = read_roles(site.inputs["split"], obs_id)[role].numpy().nonzero()[0]
    kind = f"{ROLE.get(role, role)} images"
    return decoded(rows, square, site, stage=stage, kind=kind, otherwise="pretrain_img.method: none")
