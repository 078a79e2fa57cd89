"""featurize: F*(I) of every observation, once, by one process or by many."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from cspops.data.catalogue import read_observations
from cspops.data.feature_blocks import FeatureBlocks
from cspops.data.features import DTYPE
from cspops.data.given_features import GIVEN, GivenFeatures, read_given
from cspops.errors import CspopsError, DataError, EnvironmentProblem
from cspops.gair.stored import is_at_place
from cspops.models.checkpoint import load_config
from cspops.models.image_features import image_features
from cspops.models.loading import load_image_network
from cspops.numerics import portable
from cspops.pipeline.overhead_features import Images, overhead_source
from cspops.pipeline.pixels import PHOTOS, Squares
from cspops.pixels.decoding import squares
from cspops.pixels.reading import image_root
from cspops.pixels.tensors import by_path, read_reading, stacked
from cspops.pixels.workers import Workers
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import FeaturizeView

log = logging.getLogger(__name__)


BLOCK = 4096
"""Rows that a killed process loses at most."""
BATCH = 512
REMAKE = "dvc repro pretrain-img"

Fill = Callable[[Sequence[range], FeatureBlocks], None]
"""A function that writes blocks of these rows."""


def run(view: "FeaturizeView", site: Site) -> None:
    """Write the shards of features and index.json; what a killed run, or other jobs, have done is kept.

    This process makes all that is left, its own share first, then the others' from their ends: what other jobs are at
    meanwhile may be made twice, to the same bytes.
    """
    obs_id, way, fill, blocks = _work(site)
    mine, every = site.host.job().share(blocks.blocks), range(blocks.blocks)
    with _joined_elsewhere(site):
        if blocks.rows_left() and (others := blocks.noted(way)):
            log.warning(f"featurize: some features were computed {' and '.join(others)}, and the others now are {way}")
        while not blocks.join(site.out, obs_id):
            _fill(fill, blocks, mine)
            _fill(fill, blocks, every[::-1])


def share(view: "FeaturizeView", site: Site) -> None:
    """Make this job's share of the blocks in ``site.scratch``; the job that finds a shard's last block done makes the shard.

    Jobs need not run at the same time, nor know of one another. One that is killed is started again with the same rank, and
    makes what is left of its share; two of the same rank do the work twice, to the same bytes. `run` joins all.

    Raises:
        EnvironmentProblem: other jobs compute in another way, and so other numbers.
    """
    job = site.host.job()
    obs_id, way, fill, blocks = _work(site)
    if others := blocks.noted(way):
        blocks.forget(way)
        raise EnvironmentProblem(
            f"this job would compute features {way}, and other jobs compute them {' and '.join(others)}",
            hint=f"run all jobs in the same way; or delete {site.scratch}, where they leave them, and begin anew",
        )
    mine = job.share(blocks.blocks)
    here = f"featurize: job {job.rank} of {job.world}"
    rows = blocks.rows_of(mine)
    what = f"images {rows.start + 1} to {rows.stop} of {len(obs_id)}" if rows else f"no image: there are {blocks.blocks} shares"
    log.info(f"{here} makes the features of {what}")
    try:
        with _joined_elsewhere(site):
            _fill(fill, blocks, mine)
            left = blocks.rows_left()
    except _Joined as joined:
        log.info(f"{here}: {joined.message}")
        return
    if left:
        log.info(f"{here} is done; {left} of {len(obs_id)} images are left to other jobs, or to `dvc repro featurize`")
    else:
        log.info(f"{here} is done, as are all others: `dvc repro featurize` joins their shards")


def _work(site: Site) -> tuple[Sequence[str], str, Fill, FeatureBlocks]:
    """Return the observations, in which way features are computed, what does, and the features as far as they are there."""
    download, pretrain_img = site.inputs["download"], site.inputs["pretrain-img"]
    given = read_given(download, image_root(read_reading(download), raw=site.raw, data_root=site.host.data_root))
    if (given is not None) != (
        load_config(pretrain_img, remake=REMAKE).get("model") == GIVEN and not is_at_place(pretrain_img)
    ):
        raise DataError(f"{pretrain_img / 'config.json'} was made for another data set", hint=REMAKE)
    obs_id = read_observations(download).obs_id
    if given is not None:
        way, fill, width = "as copies", _copies(given), given.width
    else:
        images = overhead_source(site) if is_at_place(pretrain_img) else photo_source(site)
        device = site.host.job_device().type
        precision = "portably" if device == "cpu" and portable() else "not portably"
        way = f"on {device}, {precision}, with torch {torch.__version__.partition('+')[0]}"
        fill, width = _computes(images, site), images.width
    return obs_id, way, fill, FeatureBlocks(site.scratch, len(obs_id), width, BLOCK)


def _fill(fill: Fill, blocks: FeatureBlocks, among: range) -> None:
    """Make what is left of these blocks, shard by shard, and each shard whose blocks are all there."""
    for shard in range(blocks.shards)[:: among.step]:
        while not blocks.close(shard) and (left := blocks.left(shard, among)):
            fill(left, blocks)


class _Joined(EnvironmentProblem):
    """The progress is gone, as another process has joined the features."""


@contextmanager
def _joined_elsewhere(site: Site) -> Iterator[None]:
    """Raise _Joined where a file is missing because the whole folder of progress is."""
    try:
        yield
    except OSError:
        if site.scratch.is_dir():
            raise
        raise _Joined(f"{site.scratch} is gone: another process has joined the features", hint="dvc repro featurize") from None


def photo_source(site: Site) -> Images:
    """Return the images of all rows, and F*."""
    device = site.host.job_device()
    network = load_image_network(site.inputs["pretrain-img"], remake=REMAKE).to(device).eval()
    square = Squares(*(network.config[name] for name in ("px", "crop", "interpolation")))
    return Images(square, PHOTOS, network.dim, lambda batches: image_features(network, (x for _, x in batches), device=device))


def _computes(images: Images, site: Site) -> Fill:
    """Return what computes features of images, which are decoded at the same time."""
    download = site.inputs["download"]
    reading = images.column.reading(download)
    root = image_root(reading, raw=site.raw, data_root=site.host.data_root)

    def fill(left: Sequence[range], blocks: FeatureBlocks) -> None:
        tables = ((rows, images.column.read(download, rows)) for rows in left)
        with Workers(site.host.decoders(by_path=by_path(download))) as workers:
            pixels = squares(tables, root=root, reading=reading, map=workers.map, **asdict(images.square))
            for rows in left:
                starts = range(rows.start, rows.stop, BATCH)
                batches = [slice(start, min(start + BATCH, rows.stop)) for start in starts]
                stacks = ((batch, stacked(pixels, batch.stop - batch.start, images.square.px)) for batch in batches)
                block = np.empty((len(rows), images.width), DTYPE)
                for batch, values in zip(batches, images.features(stacks), strict=True):
                    if not values.isfinite().all():
                        raise CspopsError(
                            f"the image network's features of rows {batch.start} to {batch.stop} leave the range of float16",
                            hint="other image_encoder.weights, or a smaller pretrain_img learning rate, in params.yaml",
                        )
                    block[batch.start - rows.start : batch.stop - rows.start] = values.numpy()
                blocks.write(rows, block)
                log.info(f"featurize: {rows.stop} of {blocks.rows} images")

    return fill


def _copies(given: GivenFeatures) -> Fill:
    """Return what copies the features that the data set comes with."""

    def fill(left: Sequence[range], blocks: FeatureBlocks) -> None:
        for rows in left:
            blocks.write(rows, given.block(rows))
            log.info(f"featurize: {rows.stop} of {blocks.rows} rows of given features")

    return fill
