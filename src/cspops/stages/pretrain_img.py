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

from cspops.data.captures import read_captures
from cspops.data.catalogue import read_images
from cspops.data.given_features import GIVEN, read_given
from cspops.data.images.decoding import squares
from cspops.data.images.tensors import by_path, read_reading
from cspops.data.rows import image_root
from cspops.data.splits import read_roles
from cspops.data.workers import Workers
from cspops.errors import EnvironmentProblem
from cspops.imagessl.images import Pretrained, UnlabelledImages
from cspops.imagessl.methods import pretrain_image_network
from cspops.models.backbones import build_image_network
from cspops.models.checkpoint import save_model
from cspops.shapes import Tensor, UInt8
from cspops.stages.curves import write_curve
from cspops.stages.shards import Shards
from cspops.stages.site import Site
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.params.views import PretrainImgView

SHARD = 4096
ROLE = {"train": "training", "val": "validation"}
ON_DEVICE = 2**30
"""Bytes of pixels that are kept where the network is."""


def run(view: "PretrainImgView", site: Site) -> None:
    """Write model.safetensors, config.json, the curve and the facts. Sees training rows only, and no label.

    A data set that comes with image features needs no network: there is a config.json that says so, and no weights.
    """
    about, download = view.image_encoder, site.inputs["download"]
    given = read_given(download, image_root(read_reading(download), raw=site.raw, data_root=site.host.data_root))
    made = Pretrained([])
    if given is not None:
        config = {"model": GIVEN, "dim": given.width}
        (site.out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        site.report(f"pretrain-img: the data set comes with {given.width} image features: no network is made")
    else:
        network = build_image_network(about.model, pretrained=about.weights == "pretrained", px=about.px, seed=view.seed)
        if view.method != "none":
            device = site.host.torch_device()
            made = pretrain_image_network(
                view.method,
                network,
                training_images(about.px, site, device),
                view.settings.model_dump(),
                seed=view.seed,
                device=device,
                resume=Resume(site.scratch),
                report=site.report,
            )
        save_model(site.out, network.to(torch.device("cpu")), network.config)
    columns = list(made.curve[0]) if made.curve else ["epoch", "total"]
    write_curve(site.reports / "curves" / "pretrain_img.tsv", made.curve, columns=columns)
    facts = {"method": "given features" if given is not None else view.method} | made.facts
    (site.reports / "pretrain_img.json").write_text(json.dumps(facts, indent=1) + "\n")


def training_images(px: int, site: Site, device: torch.device) -> UnlabelledImages:
    """The training rows, on ``device`` where they are few."""
    captures = read_captures(site.inputs["download"])
    train = read_roles(site.inputs["split"], captures.obs_id)["train"]
    pixels = training_pixels(px, site)
    return UnlabelledImages(
        pixels.to(device) if pixels.nbytes <= ON_DEVICE else pixels,
        captures.lonlat[train],
        captures.place[train],
        captures.captured_at[train],
    )


def training_pixels(px: int, site: Site) -> UInt8[Tensor, "n px px 3"]:
    """The training rows' images, see `role_pixels`."""
    return role_pixels("train", px, site)


def role_pixels(role: str, px: int, site: Site, *, stage: str = "pretrain-img") -> UInt8[Tensor, "n px px 3"]:
    """The images of a role's rows in a memory-mapped file among the stage's progress: they may be more than fits in memory.

    Raises:
        EnvironmentProblem: the disk has no room for them.
    """
    download = site.inputs["download"]
    chosen = read_roles(site.inputs["split"], read_captures(download).obs_id)[role].numpy().nonzero()[0]
    file, shape = site.scratch / "pixels.npy", (len(chosen), px, px, 3)
    if not file.exists():
        need, free = math.prod(shape), shutil.disk_usage(site.scratch).free
        if need > free:
            raise EnvironmentProblem(
                f"{len(chosen)} {ROLE.get(role, role)} images of {px} px take {need} bytes, and {site.scratch} has {free} free",
                hint="make room there, or set a smaller image_encoder.px or pretrain_img.method: none in params.yaml",
            )
        begun = file.with_name("pixels.new")
        np.lib.format.open_memmap(begun, mode="w+", dtype=np.uint8, shape=shape).flush()
        os.replace(begun, file)
    out = np.lib.format.open_memmap(file, mode="r+")
    shards = Shards(site.scratch, len(chosen), SHARD)
    reading = read_reading(download)
    root = image_root(reading, raw=site.raw, data_root=site.host.data_root)
    blocks = (_block(download, chosen[shard.start : shard.stop]) for shard in shards.left())
    with Workers(site.host.decoders(by_path=by_path(download))) as workers:
        pixels = squares(blocks, px=px, root=root, reading=reading, map=workers.map)
        for shard in shards.left():
            for row in shard:
                out[row] = next(pixels)
            out.flush()
            shards.finish(shard)
            site.report(f"{stage}: {shard.stop} of {len(chosen)} images decoded")
    return torch.from_numpy(out)


def _block(download: Path, rows: np.ndarray) -> tuple[list[int], pa.Table]:
    """Increasing rows of the catalogue and their images."""
    return rows.tolist(), read_images(download, range(rows[0], rows[-1] + 1)).take(rows - rows[0])
