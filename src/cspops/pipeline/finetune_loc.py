"""Stage finetune-loc: a location classifier for every seed and label ratio."""

import json
import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.data.batches import Labelled
from cspops.data.catalogue import Observations, read_observations
from cspops.data.negatives import dated_sampler, negative_sampler
from cspops.data.splits import piece, ratio_key, read_choosing, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.models.checkpoint import load_config, load_weights, save_model
from cspops.models.location_encoder import LocationEncoder
from cspops.params.image_networks import LinearProbe
from cspops.params.location_classifiers import FullLoc, ProbeThenFull
from cspops.pipeline.pieces import make_pieces
from cspops.shapes import Bool, Tensor
from cspops.site import Site
from cspops.training.curves import mean_curve, read_curve, side_by_side, write_curve
from cspops.training.finetune_loc import finetune_loc
from cspops.training.linear_probe import ITERATIONS
from cspops.training.location_probe import Probed, location_probe, train_on
from cspops.training.loop import Run

if TYPE_CHECKING:
    from cspops.params.graph import FinetuneLocView

log = logging.getLogger(__name__)

PARTS = {
    "linear_probe": {"total": ""},
    "full": {"total": ""},
    "probe_then_full": {"total": "", "val_nll": "_val_nll"},
}
"""By mode, the columns of a curve beside `step`, and the suffix of each in the report's curves."""

NO_VALIDATION = {
    LinearProbe: (
        "the strength of the location probe is chosen on them",
        "set finetune_loc.modes.linear_probe.l2 to a list of one value",
    ),
    ProbeThenFull: (
        "finetune_loc.mode: probe_then_full stops on them",
        "set finetune_loc.mode to linear_probe, with one value of l2, or to full, with patience 0",
    ),
    FullLoc: ("early stopping needs them", "set finetune_loc.modes.full.patience to 0"),
}
"""By mode, why it needs validation rows, and what to set where there are none."""


def run(view: "FinetuneLocView", site: Site) -> None:
    """Write seed_S/label_P/ with encoder, class embeddings and curve."""
    split, pretrain = site.inputs["split"], site.inputs["pretrain"]
    observations = read_observations(site.inputs["download"])
    roles, parts = read_roles(split, observations.obs_id), PARTS[view.mode]
    trained = roles["train"] & observations.located
    unlabelled = {"data": observations.lonlat[trained], "when": observations.when[trained]}

    def make(seed: int, ratio: float, folder: Path) -> None:
        remake = "dvc repro pretrain"
        encoder = LocationEncoder(load_config(pretrain / f"seed_{seed}", remake=remake))
        load_weights(pretrain / f"seed_{seed}", encoder, remake=remake)
        rows = read_few_shot(split, observations.obs_id, seed=seed, ratio=ratio) & observations.located
        if not rows.any():
            raise DataError(f"no labelled row of seed {seed}, ratio {ratio:g} has a position", hint="dvc repro split")
        may_choose = read_choosing(split, observations.obs_id, seed=seed, ratio=ratio)["val"]
        val = _watched(view, observations, may_choose)
        labelled, settings = _labelled(observations, rows), view.settings
        run = Run(seed, site.host.torch_device(), None, site.processes)
        if isinstance(settings, FullLoc):
            law = settings.negatives
            negatives = (
                dated_sampler(law, **unlabelled) if encoder.takes_time else negative_sampler(law, data=unlabelled["data"])
            )
            model, curve = finetune_loc(labelled, encoder, settings, view.loss_settings, negatives=negatives, val=val, run=run)
            how = f"loss {curve[-1]['total']:.4f}"
        else:
            probed = _probed(labelled, encoder, settings, val=val, run=run)
            model, curve, how = probed.model, probed.curve, _words(probed)
            (folder / "search.json").write_text(json.dumps([asdict(choice) for choice in probed.search], indent=1) + "\n")
        save_model(folder, model, model.config)
        write_curve(folder / "curve.tsv", curve, columns=("step", *parts))
        log.info(f"finetune-loc: seed {seed}, ratio {ratio:g}, {view.mode}, {int(rows.sum())} labels, {how}")

    make_pieces(view.seeds, view.label_ratios, make, site, scratch=site.scratch)
    if not site.processes.first:
        return
    mean = {
        ratio_key(ratio): mean_curve([read_curve(site.out / piece(seed, ratio) / "curve.tsv") for seed in view.seeds])
        for ratio in view.label_ratios
    }
    curve = side_by_side(mean, x="step", parts=parts)
    columns = [f"{ratio}{suffix}" for ratio in mean for suffix in parts.values()]
    write_curve(site.reports / "curves" / "finetune_loc.tsv", curve, columns=("step", *columns))


def _labelled(observations: Observations, rows: Bool[Tensor, "n"]) -> Labelled:
    return Labelled(observations.lonlat[rows], observations.label[rows], len(observations.classes), observations.when[rows])


def _watched(view: "FinetuneLocView", observations: Observations, val: Bool[Tensor, "n"]) -> Labelled | None:
    """Return the validation rows that choose, or None where nothing is to be chosen."""
    settings = view.settings
    if isinstance(settings, FullLoc) and not settings.patience:
        return None
    watched = val & observations.located
    if watched.any():
        return _labelled(observations, watched)
    if isinstance(settings, LinearProbe) and len(settings.l2) == 1:
        return None
    why, key = NO_VALIDATION[type(settings)]
    raise DataError(f"no row of role val has a label and a position: {why}", hint=f"{key}, or change split, in params.yaml")


def _probed(
    labelled: Labelled, encoder: LocationEncoder, settings: LinearProbe | ProbeThenFull, *, val: Labelled | None, run: Run
) -> Probed:
    if isinstance(settings, LinearProbe):
        return location_probe(
            labelled, encoder, settings.l2, max_iterations=settings.max_iterations, val=val, device=run.device
        )
    assert val is not None  # `_watched` sees to it
    probed = location_probe(labelled, encoder, settings.probe_l2, max_iterations=ITERATIONS, val=val, device=run.device)
    return train_on(probed, labelled, settings, val=val, run=run)


def _words(probed: Probed) -> str:
    """Return how a piece was made, for the log."""
    probe = probed.best
    if math.isnan(probe.val_nll):
        return f"l2 {probe.l2:g}"
    words = f"l2 {probe.l2:g}, val NLL of the probe {probe.val_nll:.3f}"
    return (
        f"{words}, {probed.val_nll:.3f} after step {probed.step} of {probed.curve[-1]['step']:g}, kept"
        if probed.curve
        else words
    )
