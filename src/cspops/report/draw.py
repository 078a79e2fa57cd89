"""The material and the figures of stage report, and report.md from them."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.splits import ratio_key, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.report import maps
from cspops.report.material import Drawn, Material
from cspops.report.mistakes import confusion_rows, confusions, read_judged, turned_rows, turned_table
from cspops.report.model_maps import class_of_map, draw_class, draw_clusters, encoder_title, fine_tuned_title
from cspops.report.page import (
    MEANINGS,
    Scores,
    data_section,
    image_section,
    map_section,
    mistakes_section,
    page,
)
from cspops.report.run_facts import read_records
from cspops.report.world import World
from cspops.site import Site
from cspops.training.curves import read_curve
from cspops.training.loop import Curve

if TYPE_CHECKING:
    from cspops.params.graph import ReportView


CURVES = {
    "image network": "pretrain_img",
    "location encoder, {loss}": "pretrain",
    "fine-tuning": "finetune_loc",
    "image classifier": "finetune_img",
}
VALIDATION = "_val_nll"
"""The end of the names of finetune_img's columns that are drawn in a panel of their own."""


def material(view: "ReportView", site: Site) -> Material:
    observations = read_observations(site.inputs["download"])
    roles = read_roles(site.inputs["split"], observations.obs_id)
    curves = site.reports_of_project / "curves"
    scored = [site.reports_of_project / f"{name}.json" for name in ("metrics", "intervals", "regions", "pretrain_img")]
    for file in (*scored, *(curves / f"{name}.tsv" for name in CURVES.values())):
        if not file.is_file():
            raise DataError(f"{file} is missing: stage report reads it", hint="dvc repro report")
    metrics, intervals, regions, pretrain_img = (json.loads(file.read_text()) for file in scored)
    chosen = class_of_map(view.report.class_name, observations)
    lat = observations.lonlat[observations.located, 1]
    world = World(-90 if bool((lat < -60).any()) else -60, 90 if bool((lat > 84).any()) else 84)
    evaluate, role = site.inputs["evaluate"], next(iter(metrics))
    judged = {
        ratio: read_judged(evaluate, observations.obs_id, role=role, ratio=ratio)
        for ratio in dict.fromkeys((view.label_ratios[0], view.label_ratios[-1]))
    }
    largest = judged[view.label_ratios[-1]]
    return Material(
        view=view,
        records=read_records(site.inputs),
        observations=observations,
        roles=roles,
        scores=Scores(metrics, intervals, regions),
        pretrain_img=pretrain_img,
        account=json.loads((site.inputs["download"] / "account.json").read_text()),
        curves={title.format(loss=view.loss): read_curve(curves / f"{name}.tsv") for title, name in CURVES.items()},
        judged=judged,
        confusions=confusions(largest, len(observations.classes)),
        turned=turned_rows(largest, observations),
        chosen=chosen,
        world=world,
        drawn=_drawn(view, site, world, observations, roles, chosen),
    )


def _drawn(
    view: "ReportView",
    site: Site,
    world: World,
    observations: Observations,
    roles: dict[str, torch.Tensor],
    chosen: int,
) -> Drawn:
    """The maps as figures of several, and each as a picture of its own."""
    seed, ratio = view.seeds[0], view.label_ratios[0]
    groups = {
        "unlabelled": roles["train"],
        f"few-shot labelled ({100 * ratio:g} %)": read_few_shot(
            site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio
        ),
        "validation": roles["val"],
        "test": roles["test"],
        "spatial validation": roles["spatial_val"],
        "spatial test": roles["spatial_test"],
        "buffer": roles["buffer"],
    }
    places = {title: observations.lonlat[mask & observations.located].numpy() for title, mask in groups.items() if mask.any()}
    alone = {name: _empty(site.scratch / name) for name in ("observations", "clusters", "class")}
    file = {name: site.reports / "figures" / f"{name}.png" for name in alone}
    maps.observation_map(places, world, file["observations"], apart=alone["observations"])
    kept = draw_clusters(view, site.inputs, world, file["clusters"], apart=alone["clusters"])
    classes = draw_class(view, site.inputs, world, observations, chosen, file["class"], apart=alone["class"])
    clusters = (f"{encoder_title(view)}, seed {seed}", fine_tuned_title(ratio, seed))
    return Drawn(
        _numbered(alone["clusters"], clusters),
        _numbered(alone["class"], classes),
        _numbered(alone["observations"], [f"{title}: {len(some):,}" for title, some in places.items()]),
        kept,
    )


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    return folder


def _numbered(folder: Path, titles: Any) -> dict[str, Path]:
    return {title: folder / f"{number}.png" for number, title in enumerate(titles)}


def markdown_page(of: Material) -> str:
    names, judged = of.observations.classes, of.judged[of.largest]
    return page(
        of.view.loss,
        of.view.seeds,
        of.scores,
        roles={role: int(mask.sum()) for role, mask in of.roles.items() if mask.any()},
        training=f"{image_section(of.pretrain_img)}\n\n{data_section(of.account)}",
        mistakes=mistakes_section(
            of.main,
            ratio_key(of.largest),
            judged.seeds,
            confusions=confusion_rows(of.confusions, names, seeds=judged.seeds),
            helped=turned_table(of.turned.helped, judged, of.observations),
            harmed=turned_table(of.turned.harmed, judged, of.observations),
        ),
        maps=map_section(encoder_title(of.view), names[of.chosen], clusters=of.view.report.clusters, kept=of.drawn.kept),
    )


def training_losses(curve: Curve) -> Curve:
    """A curve without the columns that are no loss of training."""
    return [{name: value for name, value in row.items() if name not in MEANINGS and "_val_" not in name} for row in curve]


def validation_losses(curve: Curve) -> Curve:
    """The validation losses of each label ratio, under its name."""
    return [
        {"epoch": row["epoch"]}
        | {name.removesuffix(VALIDATION): value for name, value in row.items() if name.endswith(VALIDATION)}
        for row in curve
    ]
