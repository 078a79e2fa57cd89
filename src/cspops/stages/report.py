"""report: report.md and its figures."""

import json
from typing import TYPE_CHECKING

from cspops.data.catalogue import read_observations
from cspops.data.splits import read_few_shot, read_roles
from cspops.errors import DataError
from cspops.report import figures, maps
from cspops.report.image_section import MEANINGS, image_section
from cspops.report.page import map_section, page
from cspops.report.world import World
from cspops.stages.curves import read_curve
from cspops.stages.report_maps import class_of_map, draw_class, draw_clusters, encoder_title
from cspops.stages.site import Site
from cspops.training.loop import Curve

if TYPE_CHECKING:
    from cspops.params.views import ReportView

CURVES = {
    "image network": "pretrain_img",
    "location encoder, {loss}": "pretrain",
    "fine-tuning": "finetune_loc",
    "image classifier": "finetune_img",
}
VALIDATION = "_val_nll"
"""The end of the names of finetune_img's columns that are drawn in a panel of their own."""


def run(view: "ReportView", site: Site) -> None:
    """Draw the figures and write the page, all under reports/."""
    observations = read_observations(site.inputs["download"])
    roles = read_roles(site.inputs["split"], observations.obs_id)
    curves = site.reports_of_project / "curves"
    scored = [site.reports_of_project / f"{name}.json" for name in ("metrics", "intervals", "regions", "pretrain_img")]
    for file in (*scored, *(curves / f"{name}.tsv" for name in CURVES.values())):
        if not file.is_file():
            raise DataError(f"{file} is missing: stage report reads it", hint="dvc repro report")
    metrics, intervals, regions, pretrain_img = (json.loads(file.read_text()) for file in scored)
    account = json.loads((site.inputs["download"] / "account.json").read_text())
    chosen = class_of_map(view.report.class_name, observations)
    figures.accuracy_by_ratio(metrics, site.reports / "figures" / "accuracy.png")
    read = {title.format(loss=view.loss): read_curve(curves / f"{name}.tsv") for title, name in CURVES.items()}
    drawn = {title: _losses(curve) for title, curve in read.items()}
    drawn["image classifier, validation"] = _validation_losses(read["image classifier"])
    figures.loss_curves(drawn, site.reports / "figures" / "curves.png")
    seed, ratio = view.seeds[0], view.label_ratios[0]
    few = read_few_shot(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
    groups = {
        "unlabelled": roles["train"],
        f"few-shot labelled ({100 * ratio:g} %)": few,
        "validation": roles["val"],
        "test": roles["test"],
        "spatial validation": roles["spatial_val"],
        "spatial test": roles["spatial_test"],
        "buffer": roles["buffer"],
    }
    places = {title: observations.lonlat[mask & observations.located].numpy() for title, mask in groups.items() if mask.any()}
    lat = observations.lonlat[observations.located, 1]
    world = World(-90 if bool((lat < -60).any()) else -60, 90 if bool((lat > 84).any()) else 84)
    maps.observation_map(places, world, site.reports / "figures" / "observations.png")
    kept = draw_clusters(view, site.inputs, world, site.reports / "figures" / "clusters.png")
    test = roles["test"] | roles["spatial_test"]
    draw_class(view, site.inputs, world, observations, chosen, test=test, file=site.reports / "figures" / "class.png")
    text = page(
        loss=view.loss,
        seeds=view.seeds,
        metrics=metrics,
        intervals=intervals,
        regions=regions,
        roles={role: int(mask.sum()) for role, mask in roles.items() if mask.any()},
        image_network=image_section(pretrain_img),
        account=account,
        maps=map_section(encoder_title(view), observations.classes[chosen], clusters=view.report.clusters, kept=kept),
    )
    (site.reports / "report.md").write_text(text)


def _losses(curve: Curve) -> Curve:
    """A curve without the columns that are no loss of training."""
    return [{name: value for name, value in row.items() if name not in MEANINGS and "_val_" not in name} for row in curve]


def _validation_losses(curve: Curve) -> Curve:
    """The validation losses of each label ratio, under its name."""
    return [
        {"epoch": row["epoch"]}
        | {name.removesuffix(VALIDATION): value for name, value in row.items() if name.endswith(VALIDATION)}
        for row in curve
    ]
