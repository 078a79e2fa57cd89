"""What both pages of stage report are written from: the outputs of other stages, read, and the maps, drawn."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspops.artefacts import json_as
from cspops.data.catalogue import Observations, read_observations
from cspops.data.json_files import Document
from cspops.data.splits import read_few_shot, read_roles
from cspops.errors import DataError
from cspops.report import maps
from cspops.report.class_months import draw_class_months
from cspops.report.mistakes import Confusion, JudgedRows, Turned, confusions, read_judged, turned_rows
from cspops.report.model_maps import ClassFigures, class_of_map, draw_classes, draw_clusters
from cspops.report.probed import ProbedTarget, probed_targets
from cspops.report.reach import Reach
from cspops.report.run_facts import Records, class_titles, heading_of, read_records, value_of
from cspops.report.tables import Scores
from cspops.report.world import World, surroundings, world_of
from cspops.shapes import Bool, Tensor
from cspops.site import Site
from cspops.training.curves import read_curve
from cspops.training.loop import Curve

if TYPE_CHECKING:
    from cspops.params.graph import ReportView


@dataclass(frozen=True)
class Drawn:
    """Each map as a picture of its own, by title."""

    clusters: Mapping[str, Path]
    classes: Mapping[str, Path]
    likeliest: Mapping[str, Path]
    legend: Sequence[tuple[str, str]]
    """Colour and text of each entry of the legend of the most likely class."""
    observations: Mapping[str, Path]
    kept: float
    """The share of the land whose clusters before and after fine-tuning are matched."""
    end: str | None
    """Where the maps of the clusters end, as `Reach.end` says."""


@dataclass(frozen=True)
class Material:
    """Everything that both pages are written from."""

    view: "ReportView"
    title: str
    """The project's name or, where it has none, that of its data."""
    records: Records
    observations: Observations
    class_titles: Sequence[str]
    """The classes as a reader knows them."""
    roles: Mapping[str, Bool[Tensor, "n"]]
    scores: Scores
    pretrain_img: Document
    account: Document
    curves: Mapping[str, Curve]
    """By title, as written by the stages."""
    judged: Mapping[float, JudgedRows]
    """The first test set at the smallest and the largest label ratio."""
    confusions: Sequence[Confusion]
    """Those of the largest label ratio, as is `turned`."""
    turned: Turned
    chosen: int
    """The class whose maps are drawn."""
    world: World
    drawn: Drawn
    probed: Sequence[ProbedTarget]

    @property
    def main(self) -> str:
        """The first set: test, where it has rows."""
        return next(iter(self.scores.metrics))

    @property
    def largest(self) -> float:
        """The largest label ratio."""
        return self.view.label_ratios[-1]


CURVES = {
    "image network": "pretrain_img",
    "location encoder, {loss}": "pretrain",
    "fine-tuning": "finetune_loc",
    "image classifier": "finetune_img",
}
"""Titles of the curves, and their files below reports/curves/."""


def read_material(view: "ReportView", site: Site, *, project: str | None) -> Material:
    """Read the outputs of the stages, draw the maps, and return all that both pages need; ``project`` is its name."""
    observations = read_observations(site.inputs["download"])
    roles = read_roles(site.inputs["split"], observations.obs_id)
    curves = site.reports_of_project / "curves"
    scored = [site.reports_of_project / f"{name}.json" for name in ("scores", "intervals", "regions", "pretrain_img")]
    for file in (*scored, *(curves / f"{name}.tsv" for name in CURVES.values())):
        if not file.is_file():
            raise DataError(f"{file} is missing: stage report reads it", hint="dvc repro report")
    metrics, intervals, regions, pretrain_img = (json_as(file, dict[str, Any], remake="dvc repro report") for file in scored)
    chosen = class_of_map(view.report.class_name, observations)
    located = observations.lonlat[observations.located].numpy()
    reach = Reach.of(observations.lonlat[roles["train"] & observations.located].numpy())
    world = world_of(surroundings(located, reach.km))
    evaluate, role = site.inputs["evaluate"], next(iter(metrics))
    judged = {
        ratio: read_judged(evaluate, observations.obs_id, role=role, ratio=ratio)
        for ratio in dict.fromkeys((view.label_ratios[0], view.label_ratios[-1]))
    }
    largest = judged[view.label_ratios[-1]]
    records = read_records(site.inputs)
    source = str(value_of(records, "dataset.source"))
    return Material(
        view=view,
        title=project or heading_of(source),
        records=records,
        observations=observations,
        class_titles=class_titles(source, observations.classes),
        roles=roles,
        scores=Scores(metrics, intervals, regions),
        pretrain_img=pretrain_img,
        account=json_as(site.inputs["download"] / "account.json", dict[str, Any], remake="dvc repro -f download"),
        curves={title.format(loss=view.loss): read_curve(curves / f"{name}.tsv") for title, name in CURVES.items()},
        judged=judged,
        confusions=confusions(largest, len(observations.classes)),
        turned=turned_rows(largest, observations),
        chosen=chosen,
        world=world,
        drawn=_drawn(view, site, world, reach, observations, roles, chosen),
        probed=probed_targets(view.report.probe, site, seed=view.seeds[0]),
    )


def _drawn(
    view: "ReportView",
    site: Site,
    world: World,
    reach: Reach,
    observations: Observations,
    roles: Mapping[str, Bool[Tensor, "n"]],
    chosen: int,
) -> Drawn:
    """Draw the maps, as figures of several and each as a picture of its own."""
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
    alone = {name: _empty(site.scratch / name) for name in ("observations", "clusters", "class", "most_likely_class")}
    file = {name: site.reports / "figures" / f"{name}.png" for name in alone}
    maps.observation_map(places, world, file["observations"], apart=alone["observations"])
    clusters, kept = draw_clusters(view, site.inputs, world, reach, file["clusters"], apart=alone["clusters"])
    classes = ClassFigures(file["class"], file["most_likely_class"], alone["class"], alone["most_likely_class"])
    titles, likeliest, legend = draw_classes(view, site.inputs, world, observations, chosen, classes)
    strip = alone["class"] / "months.png"
    months = draw_class_months(view, site.inputs, world, observations, chosen, strip)
    return Drawn(
        _numbered(alone["clusters"], clusters),
        _numbered(alone["class"], titles) | ({months: strip} if months else {}),
        _numbered(alone["most_likely_class"], [likeliest]),
        legend,
        _numbered(alone["observations"], [f"{title}: {len(some):,}" for title, some in places.items()]),
        kept,
        reach.end("training row"),
    )


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # left by a killed run
    folder.mkdir()
    return folder


def _numbered(folder: Path, titles: Iterable[str]) -> dict[str, Path]:
    return {title: folder / f"{number}.png" for number, title in enumerate(titles)}
