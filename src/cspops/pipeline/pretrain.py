"""Stage pretrain: Contrastive Spatial Pre-Training of one location encoder per seed."""

from typing import TYPE_CHECKING

import torch

from cspops.data.batches import Unlabelled
from cspops.data.catalogue import read_observations
from cspops.data.features import FeatureFile
from cspops.data.negatives import negative_sampler
from cspops.data.splits import read_roles
from cspops.errors import DataError
from cspops.gair.stored import load_gair_location
from cspops.models.checkpoint import save_model
from cspops.params.sections import GairLoss
from cspops.pipeline.side_by_side import side_by_side
from cspops.site import Site
from cspops.training.curves import mean_curve, write_curve
from cspops.training.loop import Curve, Run
from cspops.training.pretrain import curve_columns, pretrain
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.params.graph import PretrainView


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
    features = torch.from_numpy(FeatureFile(site.inputs["featurize"]).read(observations.obs_id)[rows.numpy()]).float()
    unlabelled = Unlabelled(observations.lonlat[rows], features)
    negatives = negative_sampler(view.pretrain.negatives, data=unlabelled.lonlat)

    def trained(seed: int) -> Curve:
        encoder, curve = pretrain(
            unlabelled,
            view.encoder_config(),
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
