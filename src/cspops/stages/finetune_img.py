"""finetune-img: a classifier on the frozen image features for every seed and label ratio."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cspops.data.catalogue import read_observations
from cspops.data.features import FeatureFile
from cspops.data.splits import read_few_shot, read_roles
from cspops.errors import DataError
from cspops.models.checkpoint import save_model
from cspops.stages.pieces import make_pieces
from cspops.stages.site import Site
from cspops.training.finetune_img import ProbeChoice, linear_probe

if TYPE_CHECKING:
    from cspops.models.heads import LinearProbe
    from cspops.params.views import FinetuneImgView


def run(view: "FinetuneImgView", site: Site) -> None:
    """Write seed_S/label_P/ with the probe and the search of its L2. Seeds with equal subsets share the fit."""
    split = site.inputs["split"]
    observations = read_observations(site.inputs["download"])
    features = torch.from_numpy(FeatureFile(site.inputs["featurize"]).read(observations.obs_id).astype("float32"))
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
                features[rows],
                observations.label[rows],
                features[val],
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

    make_pieces(view.seeds, view.label_ratios, make, scratch=site.scratch, out=site.out)
