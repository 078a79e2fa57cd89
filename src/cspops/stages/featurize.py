"""featurize: F*(I) of every observation, once."""

import shutil
from typing import TYPE_CHECKING

import torch

from cspops.data.catalogue import read_images, read_observations
from cspops.data.features import FeatureFile
from cspops.data.images import decode
from cspops.errors import CspopsError
from cspops.models.backbones import rebuild_image_network
from cspops.models.checkpoint import load_config, load_weights
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.views import FeaturizeView

SHARD = 4096
BATCH = 512


@torch.inference_mode()
def run(view: "FeaturizeView", site: Site) -> None:
    """Write features.npy and features.json; a killed run continues at the shard it was at."""
    download, pretrain_img = site.inputs["download"], site.inputs["pretrain-img"]
    remake = "dvc repro pretrain-img"
    config = load_config(pretrain_img, remake=remake)
    network = rebuild_image_network(config)
    load_weights(pretrain_img, network, remake=remake)
    device = site.host.torch_device()
    network.to(device).eval()
    obs_id = read_observations(download).obs_id
    features = FeatureFile(site.scratch).create(obs_id, network.dim)
    for start in range(0, len(obs_id), SHARD):
        done = site.scratch / f"shard-{start}.done"
        rows = range(start, min(start + SHARD, len(obs_id)))
        if done.exists():
            continue
        pixels = decode(read_images(download, rows), px=config["px"], root=site.host.data_root)
        answer = torch.cat([network(batch.to(device)).half().cpu() for batch in pixels.split(BATCH)])
        if not answer.isfinite().all():
            raise CspopsError(
                f"the image network's features of rows {rows.start} to {rows.stop} leave the range of float16",
                hint="other image_encoder.weights, or a smaller pretrain_img learning rate, in params.yaml",
            )
        features[rows.start : rows.stop] = answer.numpy()
        features.flush()
        done.touch()
        site.report(f"featurize: {rows.stop} of {len(obs_id)} images")
    del features
    for name in ("features.npy", "features.json"):
        shutil.copyfile(site.scratch / name, site.out / name)
