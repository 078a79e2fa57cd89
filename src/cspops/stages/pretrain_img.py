"""pretrain-img: the frozen image network F*, self-supervised on the training tiles or as it comes."""

from typing import TYPE_CHECKING

import torch

from cspops.data.catalogue import read_images, read_observations
from cspops.data.images import decode
from cspops.data.splits import read_roles
from cspops.imagessl.moco import MocoSettings, moco
from cspops.models.backbones import build_image_network
from cspops.models.checkpoint import save_model
from cspops.stages.curves import write_curve
from cspops.stages.site import Site
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.params.views import PretrainImgView


def run(view: "PretrainImgView", site: Site) -> None:
    """Write model.safetensors, config.json and the curve. Sees training rows only, and no label."""
    about = view.image_encoder
    network = build_image_network(about.model, pretrained=about.weights == "pretrained", px=about.px, seed=view.seed)
    curve = []
    if view.method == "moco":
        download, split = site.inputs["download"], site.inputs["split"]
        obs_id = read_observations(download).obs_id
        train = read_roles(split, obs_id)["train"]
        images = read_images(download, range(len(obs_id))).filter(train.numpy())
        curve = moco(
            network,
            decode(images, px=about.px, root=site.host.data_root),
            MocoSettings(**view.settings.model_dump()),
            seed=view.seed,
            device=site.host.torch_device(),
            resume=Resume(site.scratch),
            report=site.report,
        )
    save_model(site.out, network.to(torch.device("cpu")), network.config)
    write_curve(site.reports / "curves" / "pretrain_img.tsv", curve, columns=("epoch", "total"))
