"""featurize: F*(I) of every observation, once."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from cspops.data.catalogue import read_observations
from cspops.data.features import FeatureFile
from cspops.data.given_features import GIVEN, GivenFeatures, read_given
from cspops.errors import CspopsError, DataError
from cspops.gair.stored import is_at_place
from cspops.models.checkpoint import load_config
from cspops.models.image_features import image_features
from cspops.models.loading import load_image_network
from cspops.pipeline.overhead_features import Images, overhead_source
from cspops.pipeline.pieces import Shards
from cspops.pipeline.pixels import PHOTOS, Squares
from cspops.pixels.decoding import squares
from cspops.pixels.reading import image_root
from cspops.pixels.tensors import by_path, read_reading, stacked
from cspops.pixels.workers import Workers
from cspops.site import Site

if TYPE_CHECKING:
    import numpy as np

    from cspops.params.graph import FeaturizeView

log = logging.getLogger(__name__)


SHARD = 4096
BATCH = 512
REMAKE = "dvc repro pretrain-img"


def run(view: "FeaturizeView", site: Site) -> None:
    """Write features.npy and features.json; a killed run continues at the shard it was at."""
    download, pretrain_img = site.inputs["download"], site.inputs["pretrain-img"]
    given = read_given(download, image_root(read_reading(download), raw=site.raw, data_root=site.host.data_root))
    if (given is not None) != (
        load_config(pretrain_img, remake=REMAKE).get("model") == GIVEN and not is_at_place(pretrain_img)
    ):
        raise DataError(f"{pretrain_img / 'config.json'} was made for another data set", hint=REMAKE)
    obs_id = read_observations(download).obs_id
    if given is not None:
        copy(given, obs_id, site)
    elif is_at_place(pretrain_img):
        compute(obs_id, overhead_source(site), site)
    else:
        compute(obs_id, photo_source(site), site)
    for name in ("features.npy", "features.json"):
        shutil.copyfile(site.scratch / name, site.out / name)


def photo_source(site: Site) -> Images:
    """Return the images of all rows, and F*."""
    device = site.host.torch_device()
    network = load_image_network(site.inputs["pretrain-img"], remake=REMAKE).to(device).eval()
    square = Squares(*(network.config[name] for name in ("px", "crop", "interpolation")))
    return Images(square, PHOTOS, network.dim, lambda batches: image_features(network, (x for _, x in batches), device=device))


def compute(obs_id: Sequence[str], images: Images, site: Site) -> None:
    """Compute the features of all rows, whose images are decoded at the same time."""
    download = site.inputs["download"]
    reading = images.column.reading(download)
    features, shards = _begun(obs_id, images.width, site)
    blocks = ((rows, images.column.read(download, rows)) for rows in shards.left())
    root = image_root(reading, raw=site.raw, data_root=site.host.data_root)
    with Workers(site.host.decoders(by_path=by_path(download))) as workers:
        pixels = squares(blocks, root=root, reading=reading, map=workers.map, **asdict(images.square))
        for rows in shards.left():
            starts = range(rows.start, rows.stop, BATCH)
            batches = [slice(start, min(start + BATCH, rows.stop)) for start in starts]
            stacks = ((batch, stacked(pixels, batch.stop - batch.start, images.square.px)) for batch in batches)
            for batch, block in zip(batches, images.features(stacks), strict=True):
                if not block.isfinite().all():
                    raise CspopsError(
                        f"the image network's features of rows {batch.start} to {batch.stop} leave the range of float16",
                        hint="other image_encoder.weights, or a smaller pretrain_img learning rate, in params.yaml",
                    )
                features[batch] = block.numpy()
            features.flush()
            shards.finish(rows)
            log.info(f"featurize: {rows.stop} of {len(obs_id)} images")


def copy(given: GivenFeatures, obs_id: Sequence[str], site: Site) -> None:
    """Copy the features that the data set comes with."""
    features, shards = _begun(obs_id, given.width, site)
    for rows in shards.left():
        features[rows.start : rows.stop] = given.block(rows)
        features.flush()
        shards.finish(rows)
        log.info(f"featurize: {rows.stop} of {len(obs_id)} rows of given features")


def _begun(obs_id: Sequence[str], width: int, site: Site) -> "tuple[np.memmap, Shards]":
    """Return the matrix as a killed run left it, or a new one, and which of its shards are done."""
    file, shards = FeatureFile(site.scratch), Shards(site.scratch, len(obs_id), SHARD)
    features = file.begun(obs_id, width)
    if features is None:
        shards.forget()
        features = file.create(obs_id, width)
    return features, shards
