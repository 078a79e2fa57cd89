"""Stage pretrain: Contrastive Spatial Pre-Training of one location encoder per seed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from cspops.data.batches import Unlabelled
from cspops.data.catalogue import read_observations
from cspops.data.features import read_features
from cspops.data.negatives import dated_sampler, negative_sampler
from cspops.data.sharded_rows import ShardedRows
from cspops.data.splits import read_roles
from cspops.errors import DataError
from cspops.gair.stored import load_gair_location
from cspops.models.checkpoint import Config, save_model
from cspops.models.loading import load_location_encoder
from cspops.models.location_encoder import LocationEncoder
from cspops.params.sections import GairLoss, NoLoss
from cspops.pipeline.side_by_side import side_by_side
from cspops.shapes import Bool, Float, Tensor
from cspops.site import Site
from cspops.training.curves import mean_curve, write_curve
from cspops.training.loop import Curve, Run
from cspops.training.pretrain import curve_columns, pretrain
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.params.graph import PretrainView


START = "location_encoder.weights in params.yaml names pretrain/seed_S of a run, or encoder/ of an imported checkpoint"
"""What is to be done where the folder holds no location encoder."""


def run(view: "PretrainView", site: Site) -> None:
    """Write seed_S/ with the encoder of each seed, and the mean curve. Only training rows are read, and no label.

    `loss: gair` takes over the location encoder that stage pretrain-img trained, the same one for each seed.
    """
    loss = view.loss_settings
    if isinstance(loss, GairLoss):
        encoder = load_gair_location(site.inputs["pretrain-img"])
        for seed in view.seeds:
            save_model(site.out / f"seed_{seed}", encoder, encoder.config)
        write_curve(site.reports / "curves" / "pretrain.tsv", [], columns=curve_columns(loss))
        return
    observations = read_observations(site.inputs["download"])
    rows = read_roles(site.inputs["split"], observations.obs_id)["train"] & observations.located
    if not rows.any():
        raise DataError(
            "no training row has a position: there is nothing to pre-train on", hint="change dataset or split in params.yaml"
        )
    lonlat, when, law = observations.lonlat[rows], observations.when[rows], view.pretrain.negatives
    start = _start(view, dated=not bool(when.isnan().all()))
    takes_time = start.takes_time if isinstance(start, LocationEncoder) else "time" in start
    unlabelled = Unlabelled(
        lonlat, _features_of(rows, observations.obs_id, site, fits=not isinstance(loss, NoLoss)), when if takes_time else None
    )
    negatives = dated_sampler(law, data=lonlat, when=when) if takes_time else negative_sampler(law, data=lonlat)

    def trained(seed: int) -> Curve:
        encoder, curve = pretrain(
            unlabelled,
            start,
            loss,
            schedule=view.pretrain,
            negatives=negatives,
            run=Run(seed, site.host.torch_device(), Resume(site.scratch), site.processes),
        )
        save_model(site.out / f"seed_{seed}", encoder, encoder.config)
        return curve

    columns = curve_columns(loss)
    write_curve(
        site.reports / "curves" / "pretrain.tsv", mean_curve([*side_by_side(trained, view.seeds, site.host)]), columns=columns
    )


def _start(view: "PretrainView", *, dated: bool) -> Config | LocationEncoder:
    """Return the encoder that the weights are of, or else the config of one with random weights.

    ``dated`` says whether a training row has a date. An encoder of elsewhere that takes dates can do without.
    """
    folder = view.location_encoder.folder
    if folder is not None:
        return load_location_encoder(folder, remake=START)
    config = view.encoder_config()
    if "time" in config and not dated:
        raise DataError(
            f"no training row has a date, and location_encoder.time is {view.location_encoder.time}",
            hint="set location_encoder.time to none in params.yaml, or give the data a column captured_at",
        )
    return config


def _features_of(
    rows: Bool[Tensor, "n"], obs_id: Sequence[str], site: Site, *, fits: bool
) -> Float[Tensor, "m k"] | ShardedRows:
    """Return the image features of some rows: in memory where all lie in one shard, and else read as they are used.

    ``fits`` says whether their statistics will be needed, which all seeds share.
    """
    features = read_features(site.inputs["featurize"], obs_id)
    if len(features.shards) > 1:
        sharded = ShardedRows(features, np.flatnonzero(rows.numpy()))
        return sharded.fitted() if fits else sharded
    return torch.from_numpy(features[rows.numpy()]).float()
