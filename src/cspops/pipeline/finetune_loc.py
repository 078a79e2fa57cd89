"""Stage finetune-loc: a location classifier for every seed and label ratio."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.data.batches import Labelled
from cspops.data.catalogue import read_observations
from cspops.data.negatives import negative_sampler
from cspops.data.splits import piece, ratio_key, read_choosing, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.models.checkpoint import load_config, load_weights, save_model
from cspops.models.location_encoder import LocationEncoder
from cspops.pipeline.pieces import make_pieces
from cspops.shapes import Bool, Tensor
from cspops.site import Site
from cspops.training.curves import mean_curve, read_curve, side_by_side, write_curve
from cspops.training.finetune_loc import finetune_loc
from cspops.training.loop import Run

if TYPE_CHECKING:
    from cspops.params.graph import FinetuneLocView

log = logging.getLogger(__name__)


def run(view: "FinetuneLocView", site: Site) -> None:
    """Write seed_S/label_P/ with encoder, class embeddings and curve."""
    split, pretrain = site.inputs["split"], site.inputs["pretrain"]
    observations = read_observations(site.inputs["download"])
    settings, roles = view.finetune_loc, read_roles(split, observations.obs_id)
    negatives = negative_sampler(settings.negatives, data=observations.lonlat[roles["train"] & observations.located])

    def labelled(rows: Bool[Tensor, "n"]) -> Labelled:
        return Labelled(observations.lonlat[rows], observations.label[rows], len(observations.classes))

    def watched(seed: int, ratio: float) -> Labelled | None:
        if not settings.patience:
            return None
        val = read_choosing(split, observations.obs_id, seed=seed, ratio=ratio)["val"] & observations.located
        if not val.any():
            raise DataError(
                "no row of role val has a label and a position: early stopping needs them",
                hint="set finetune_loc.patience to 0, or change split, in params.yaml",
            )
        return labelled(val)

    def make(seed: int, ratio: float, folder: Path) -> None:
        remake = "dvc repro pretrain"
        encoder = LocationEncoder(load_config(pretrain / f"seed_{seed}", remake=remake))
        load_weights(pretrain / f"seed_{seed}", encoder, remake=remake)
        rows = read_few_shot(split, observations.obs_id, seed=seed, ratio=ratio) & observations.located
        if not rows.any():
            raise DataError(f"no labelled row of seed {seed}, ratio {ratio:g} has a position", hint="dvc repro split")
        run = Run(seed, site.host.torch_device())
        model, curve = finetune_loc(
            labelled(rows), encoder, settings, view.loss_settings, negatives=negatives, val=watched(seed, ratio), run=run
        )
        save_model(folder, model, model.config)
        write_curve(folder / "curve.tsv", curve, columns=("step", "total"))
        log.info(f"finetune-loc: seed {seed}, ratio {ratio:g}, {int(rows.sum())} labels, loss {curve[-1]['total']:.4f}")

    make_pieces(view.seeds, view.label_ratios, make, site, scratch=site.scratch)
    mean = {
        ratio_key(ratio): mean_curve([read_curve(site.out / piece(seed, ratio) / "curve.tsv") for seed in view.seeds])
        for ratio in view.label_ratios
    }
    curve = side_by_side(mean, x="step", parts={"total": ""})
    write_curve(site.reports / "curves" / "finetune_loc.tsv", curve, columns=("step", *mean))
