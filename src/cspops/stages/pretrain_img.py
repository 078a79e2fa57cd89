"""pretrain-img: the frozen image network F*, self-supervised on the training tiles or as it comes."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from cspops.data.catalogue import read_images, read_observations
from cspops.data.given_features import GIVEN, read_given
from cspops.data.images.decoding import squares
from cspops.data.images.tensors import by_path, read_reading
from cspops.data.rows import image_root
from cspops.data.splits import read_roles
from cspops.data.workers import Workers
from cspops.errors import EnvironmentProblem
from cspops.imagessl.moco import MocoSettings, moco
from cspops.models.backbones import ImageNetwork, build_image_network
from cspops.models.checkpoint import save_model
from cspops.progress import Report
from cspops.shapes import Tensor, UInt8
from cspops.stages.curves import write_curve
from cspops.stages.shards import Shards
from cspops.stages.site import Site
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.params.sections import ImageEncoder
    from cspops.params.views import PretrainImgView

SHARD = 4096
ON_DEVICE = 2**30
"""Bytes of pixels that are kept where the network is."""


def run(view: "PretrainImgView", site: Site) -> None:
    """Write model.safetensors, config.json and the curve. Sees training rows only, and no label.

    A data set that comes with image features needs no network: there is a config.json that says so, and no weights.
    """
    about, download = view.image_encoder, site.inputs["download"]
    given = read_given(download, image_root(read_reading(download), raw=site.raw, data_root=site.host.data_root))
    curve = []
    if given is not None:
        config = {"model": GIVEN, "dim": given.width}
        (site.out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        site.report(f"pretrain-img: the data set comes with {given.width} image features: no network is made")
    else:
        network = network_of(about, seed=view.seed, report=site.report)
        if view.method == "moco":
            device = site.host.torch_device()
            pixels = training_pixels(network.config["px"], site, interpolation=network.config["interpolation"])
            curve = moco(
                network,
                pixels.to(device) if pixels.nbytes <= ON_DEVICE else pixels,
                MocoSettings(**view.settings.model_dump()),
                seed=view.seed,
                device=device,
                resume=Resume(site.scratch),
                report=site.report,
            )
        save_model(site.out, network.to(torch.device("cpu")), network.config)
    write_curve(site.reports / "curves" / "pretrain_img.tsv", curve, columns=("epoch", "total"))


def network_of(about: "ImageEncoder", *, seed: int, report: Report) -> ImageNetwork:
    """The network that ``image_encoder`` of params.yaml asks for, before it is trained."""
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
        report(f"pretrain-img: weights of {name}, sha256 {file['sha256'][:12]}; left out: {left_out}")
    return network


def training_pixels(px: int, site: Site, *, interpolation: str = "bicubic") -> UInt8[Tensor, "n px px 3"]:
    """The training rows' images in a memory-mapped file among the stage's progress: they may be more than fits in memory.

    Of each the whole centre square, whatever `image_encoder.crop` is: random crops are taken of it.

    Raises:
        EnvironmentProblem: the disk has no room for them.
    """
    download = site.inputs["download"]
    train = read_roles(site.inputs["split"], read_observations(download).obs_id)["train"].numpy().nonzero()[0]
    file, shape = site.scratch / "pixels.npy", (len(train), px, px, 3)
    if not file.exists():
        need, free = math.prod(shape), shutil.disk_usage(site.scratch).free
        if need > free:
            raise EnvironmentProblem(
                f"{len(train)} training images of {px} px take {need} bytes, and {site.scratch} has {free} free",
                hint="make room there, or set a smaller image_encoder.px or pretrain_img.method: none in params.yaml",
            )
        begun = file.with_name("pixels.new")
        np.lib.format.open_memmap(begun, mode="w+", dtype=np.uint8, shape=shape).flush()
        os.replace(begun, file)
    out = np.lib.format.open_memmap(file, mode="r+")
    shards = Shards(site.scratch, len(train), SHARD)
    reading = read_reading(download)
    root = image_root(reading, raw=site.raw, data_root=site.host.data_root)
    blocks = (_block(download, train[shard.start : shard.stop]) for shard in shards.left())
    with Workers(site.host.decoders(by_path=by_path(download))) as workers:
        pixels = squares(blocks, px=px, root=root, reading=reading, interpolation=interpolation, map=workers.map)
        for shard in shards.left():
            for row in shard:
                out[row] = next(pixels)
            out.flush()
            shards.finish(shard)
            site.report(f"pretrain-img: {shard.stop} of {len(train)} images decoded")
    return torch.from_numpy(out)


def _block(download: Path, rows: np.ndarray) -> tuple[list[int], pa.Table]:
    """Increasing rows of the catalogue and their images."""
    return rows.tolist(), read_images(download, range(rows[0], rows[-1] + 1)).take(rows - rows[0])
