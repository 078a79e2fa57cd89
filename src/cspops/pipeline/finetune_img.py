"""Stage finetune-img: a probe of frozen features, a fine-tuned network or released predictions, per seed and label ratio."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.features import read_features
from cspops.data.splits import piece, ratio_key, read_choosing, read_few_shot
from cspops.errors import DataError
from cspops.evaluation.released import predicted, write_released
from cspops.models.checkpoint import save_model
from cspops.params.image_networks import Full, Released
from cspops.params.image_networks import LinearProbe as ProbeSettings
from cspops.pipeline.finetune_img_full import fine_tuned
from cspops.pipeline.pieces import Make, make_pieces
from cspops.shapes import Bool, Float, Tensor
from cspops.site import Site
from cspops.training.curves import mean_curve, read_curve, side_by_side, write_curve
from cspops.training.linear_probe import ProbeChoice, linear_probe

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from cspops.models.heads import LinearProbe
    from cspops.params.graph import FinetuneImgView

log = logging.getLogger(__name__)

PARTS = {"total": "", "val_nll": "_val_nll", "val_top1": "_val_top1"}
"""The columns of a curve, and the suffix of each in the report's curves."""


def run(view: "FinetuneImgView", site: Site) -> None:
    """Write seed_S/label_P/ with a classifier, or with released predictions of a label ratio, and the curves."""
    observations = read_observations(site.inputs["download"])
    make: Make
    if isinstance(view.settings, Released):
        make = _released(observations, site)
    elif isinstance(view.settings, Full):
        _require_labelled_val(view, observations, site)
        make = fine_tuned(view.settings, view.seeds, view.label_ratios, observations, site)
    else:
        make = _fitted(view, view.settings, observations, site)

    def together(seed: int, ratio: float) -> tuple[float, bytes]:
        """Seeds of equal subsets share a fit."""
        return ratio, _key(*_rows(observations, site, seed, ratio))

    shares = {} if isinstance(view.settings, Full) else {"together": together}
    make_pieces(view.seeds, view.label_ratios, make, site, scratch=site.scratch / "pieces", **shares)
    if not site.processes.first:
        return
    curves = {
        ratio_key(ratio): mean_curve([read_curve(site.out / piece(seed, ratio) / "curve.tsv") for seed in view.seeds])
        for ratio in view.label_ratios
        if view.mode == "full"
    }
    keys = {f"{ratio_key(ratio)}{suffix}": part for ratio in view.label_ratios for part, suffix in PARTS.items()}
    rows = side_by_side(curves, x="epoch", parts=PARTS)
    write_curve(site.reports / "curves" / "finetune_img.tsv", rows, columns=("epoch", *keys))


def _rows(observations: Observations, site: Site, seed: int, ratio: float) -> tuple[Bool[Tensor, "n"], Bool[Tensor, "n"]]:
    """Return which rows are fitted and which of role val choose."""
    split, obs_id = site.inputs["split"], observations.obs_id
    val = read_choosing(split, obs_id, seed=seed, ratio=ratio)["val"]
    return read_few_shot(split, obs_id, seed=seed, ratio=ratio), val


def _key(rows: Bool[Tensor, "n"], val: Bool[Tensor, "n"]) -> bytes:
    return rows.numpy().tobytes() + val.numpy().tobytes()


def _require_labelled_val(view: "FinetuneImgView", observations: Observations, site: Site) -> None:
    """Raise a DataError where no row of role val may choose; where one may, some may at every seed and label ratio."""
    if not _rows(observations, site, view.seeds[0], view.label_ratios[0])[1].any():
        raise DataError(
            "no row of role val has a label: the image classifier is chosen on them", hint="change split in params.yaml"
        )


def _fitted(view: "FinetuneImgView", settings: ProbeSettings, observations: Observations, site: Site) -> Make:
    """Return what fits the probe of a seed and label ratio; seeds with equal subsets share the fit."""
    _require_labelled_val(view, observations, site)
    matrix = read_features(site.inputs["featurize"], observations.obs_id)

    def features(rows: Bool[Tensor, "n"]) -> Float[Tensor, "m k"]:
        return torch.from_numpy(matrix[rows.numpy()].astype("float32"))

    fits: dict[bytes, tuple[LinearProbe, list[ProbeChoice]]] = {}

    def make(seed: int, ratio: float, folder: Path) -> None:
        rows, val = _rows(observations, site, seed, ratio)
        key = _key(rows, val)
        if key not in fits:
            fits[key] = linear_probe(
                features(rows),
                observations.label[rows],
                features(val),
                observations.label[val],
                classes=len(observations.classes),
                l2=settings.l2,
                max_iterations=settings.max_iterations,
            )
        probe, search = fits[key]
        save_model(folder, probe, probe.config)
        (folder / "search.json").write_text(json.dumps([asdict(choice) for choice in search], indent=1) + "\n")
        best = min(search, key=lambda choice: choice.val_nll)
        log.info(
            f"finetune-img: seed {seed}, ratio {ratio:g}, {int(rows.sum())} labels, l2 {best.l2:g}, val NLL {best.val_nll:.3f}"
        )

    return make


def _released(observations: Observations, site: Site) -> Make:
    """Return what writes the predictions that came with the data, of each observation that has one; seeds share them."""
    from cspops.intake.sources.released import read_released

    file, column = site.inputs["download"] / "observations.parquet", "image_features"
    hint = "set finetune_img.mode: linear_probe in params.yaml"
    released = read_released(site.inputs["download"], data_root=site.host.data_root)
    if released is None or column not in pq.read_schema(file).names:
        raise DataError("the data came without predictions of its images: finetune_img.mode: released needs them", hint=hint)
    rows = pq.read_table(file, columns=[column])[column]
    tables: dict[float, csr_array] = {}

    def make(seed: int, ratio: float, folder: Path) -> None:
        if ratio not in tables:
            tables[ratio] = released.probabilities(ratio, rows=rows, classes=observations.classes)
        count = int(predicted(tables[ratio]).sum())
        if not count:
            raise DataError(f"no observation has a released prediction at label ratio {ratio:g}", hint=hint)
        write_released(folder, tables[ratio])
        log.info(f"finetune-img: seed {seed}, ratio {ratio:g}, released predictions of {count} observations")

    return make
