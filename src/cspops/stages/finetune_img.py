"""finetune-img: a classifier on the frozen image features, or released predictions, for every seed and label ratio."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.features import FeatureFile
from cspops.data.splits import read_few_shot, read_roles
from cspops.errors import DataError
from cspops.models.checkpoint import save_model
from cspops.shapes import Bool, Float, Tensor
from cspops.stages.pieces import make_pieces
from cspops.stages.released_predictions import predicted, write_released
from cspops.stages.site import Site
from cspops.training.finetune_img import ProbeChoice, linear_probe

if TYPE_CHECKING:
    from cspops.models.heads import LinearProbe
    from cspops.params.views import FinetuneImgView

Make = Callable[[int, float, Path], None]
"""Writes the folder of a seed and label ratio."""


def run(view: "FinetuneImgView", site: Site) -> None:
    """Write seed_S/label_P/ with a probe and the search of its L2, or with released predictions of a label ratio."""
    observations = read_observations(site.inputs["download"])
    make = _released(observations, site) if view.finetune_img.predictions == "released" else _fitted(view, observations, site)
    make_pieces(view.seeds, view.label_ratios, make, scratch=site.scratch, out=site.out)


def _fitted(view: "FinetuneImgView", observations: Observations, site: Site) -> Make:
    """Seeds with equal subsets share the fit."""
    split = site.inputs["split"]
    matrix = FeatureFile(site.inputs["featurize"]).read(observations.obs_id)

    def features(rows: Bool[Tensor, "n"]) -> Float[Tensor, "m k"]:
        return torch.from_numpy(matrix[rows.numpy()].astype("float32"))

    val = read_roles(split, observations.obs_id)["val"] & (observations.label >= 0)
    if not val.any():
        raise DataError(
            "no row of role val has a label: the strength of L2 is chosen on them", hint="change split in params.yaml"
        )
    known: dict[bytes, tuple[LinearProbe, list[ProbeChoice]]] = {}

    def make(seed: int, ratio: float, folder: Path) -> None:
        rows = read_few_shot(split, observations.obs_id, seed=seed, ratio=ratio)
        key = rows.numpy().tobytes()
        if key not in known:
            known[key] = linear_probe(
                features(rows),
                observations.label[rows],
                features(val),
                observations.label[val],
                classes=len(observations.classes),
                l2=view.finetune_img.l2,
                max_iterations=view.finetune_img.max_iterations,
            )
        probe, search = known[key]
        save_model(folder, probe, probe.config)
        (folder / "search.json").write_text(json.dumps([asdict(choice) for choice in search], indent=1) + "\n")
        best = min(search, key=lambda choice: choice.val_nll)
        site.report(
            f"finetune-img: seed {seed}, ratio {ratio:g}, {int(rows.sum())} labels, l2 {best.l2:g}, val NLL {best.val_nll:.3f}"
        )

    return make


def _released(observations: Observations, site: Site) -> Make:
    """The predictions that came with the data, of each observation that has one; seeds share them."""
    from cspops.data.sources.released import read_released

    file, column = site.inputs["download"] / "observations.parquet", "image_features"
    hint = "set finetune_img.predictions: fitted in params.yaml"
    released = read_released(site.inputs["download"], data_root=site.host.data_root)
    if released is None or column not in pq.read_schema(file).names:
        raise DataError("the data came without predictions of its images: finetune_img.predictions asks for them", hint=hint)
    rows = pq.read_table(file, columns=[column])[column]
    known: dict[float, Any] = {}

    def make(seed: int, ratio: float, folder: Path) -> None:
        if ratio not in known:
            known[ratio] = released.probabilities(ratio, rows=rows, classes=observations.classes)
        count = int(predicted(known[ratio]).sum())
        if not count:
            raise DataError(f"no observation has a released prediction at label ratio {ratio:g}", hint=hint)
        write_released(folder, known[ratio])
        site.report(f"finetune-img: seed {seed}, ratio {ratio:g}, released predictions of {count} observations")

    return make
