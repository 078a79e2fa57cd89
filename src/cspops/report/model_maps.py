"""The maps of stage report that need models: clusters of location embeddings, P(y|x) of a class, the most likely class."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import AgglomerativeClustering
from torch.nn.functional import normalize

from cspops.climate_raster import is_land
from cspops.data.catalogue import Observations
from cspops.data.splits import piece, read_few_shot, read_roles
from cspops.errors import DataError, ParamsError, nearest
from cspops.evaluation.predictor import LocationPredictor
from cspops.models.loading import load_location_classifier, load_location_encoder
from cspops.models.location_encoder import LocationEncoder
from cspops.report import maps
from cspops.report.likeliest import likeliest_map
from cspops.report.reach import Reach
from cspops.report.world import World
from cspops.shapes import Float, Int, LonLat, Tensor

if TYPE_CHECKING:
    from cspops.params.graph import ReportView


MAX_LINKED = 6000
"""Most points that are linked to a tree, whose memory and time grow with their square."""


def area_fair_grid(degrees: float) -> Float[Tensor, "n 2"]:
    """Return positions on the globe, each for about ``degrees`` x ``degrees`` of the equator, south to north.

    Rows lie ``degrees`` apart, or a little less so that they fill the meridian; the number of points on a row is
    proportional to the cosine of its latitude.
    """
    rows = math.ceil(180 / degrees)
    parts = []
    for row in range(rows):
        lat = -90 + 180 * (row + 0.5) / rows
        count = max(1, round(360 * math.cos(math.radians(lat)) / degrees))
        lon = -180 + 360 * (torch.arange(count, dtype=torch.float64) + 0.5) / count
        parts.append(torch.stack((lon, torch.full_like(lon, lat)), 1))
    return torch.cat(parts)


@torch.inference_mode()
def directions(encoder: LocationEncoder, lonlat: LonLat, *, rows: int = 8192) -> Float[np.ndarray, "n d"]:
    """Return embeddings of length 1, so that distance means cosine distance; ``rows`` at a time, without dropout.

    Raise a DataError when a number is not finite.
    """
    unit = torch.cat([normalize(encoder.eval()(some).float(), dim=-1) for some in lonlat.split(rows)])
    if not unit.isfinite().all():
        raise DataError("the location encoder's embeddings are not finite", hint="lower its learning rates in params.yaml")
    return unit.numpy()


def hierarchical_clusters(embeddings: Float[np.ndarray, "n d"], clusters: int) -> Int[np.ndarray, "n"]:
    """Return a cluster from 0 to ``clusters`` - 1 for each row, by Ward's linkage; fewer where there are fewer rows.

    Beyond ``MAX_LINKED`` rows only every second, third ... is linked; each other one joins its nearest linked row.
    (Not the nearest centroid: Ward's clusters are no cells around their centroids, and the borders would fray.)
    """
    linked = embeddings[:: max(1, math.ceil(len(embeddings) / MAX_LINKED))]
    if len(linked) <= clusters:
        clustered = np.arange(len(linked))
    else:
        clustered = AgglomerativeClustering(clusters, linkage="ward").fit_predict(linked)
    if len(linked) == len(embeddings):
        return clustered
    half_square = (linked**2).sum(1) / 2
    nearest = [
        (half_square - some @ linked.T).argmin(1) for some in np.array_split(embeddings, math.ceil(len(embeddings) / 2048))
    ]
    labels: np.ndarray = clustered[np.concatenate(nearest)]
    return labels


def ordered_by(labels: Int[np.ndarray, "n"], value: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Return the same clusters, numbered by the mean ``value`` of their rows, least first."""
    names, rows = np.unique(labels, return_inverse=True)
    means = np.bincount(rows, value) / np.bincount(rows)
    rank = np.empty(len(names), dtype=int)
    rank[means.argsort(kind="stable")] = np.arange(len(names))
    return rank[rows]


def matched(labels: Int[np.ndarray, "n"], reference: Int[np.ndarray, "n"]) -> tuple[Int[np.ndarray, "n"], float]:
    """Return the same clusters, numbered so that most rows keep their number of ``reference`` (Hungarian algorithm).

    Returns:
        the new numbers, and the share of the rows that have the reference's.
    """
    size = int(max(labels.max(), reference.max())) + 1
    overlap = np.zeros((size, size), dtype=int)
    np.add.at(overlap, (labels, reference), 1)
    _, number = linear_sum_assignment(overlap, maximize=True)
    renamed = number[labels]
    return renamed, float((renamed == reference).mean())


PRETRAIN, FINETUNE = "dvc repro pretrain", "dvc repro finetune-loc"


def class_of_map(name: str | None, observations: Observations) -> int:
    """Return the number of the class that params.yaml names, or of the one with the most observations."""
    if name is None:
        return int(torch.bincount(observations.label[observations.label >= 0]).argmax())
    if name not in observations.classes:
        near = nearest(name, observations.classes)
        some = ", ".join(observations.classes[:40]) + (" ..." if len(observations.classes) > 40 else "")
        guess = f"did you mean `{near[0]}`?" if near else f"the classes are {some}"
        raise ParamsError(
            f"params.yaml: report.class: {name!r} is not a class of the data; {guess}", hint="fix it, or set null"
        )
    return observations.classes.index(name)


def encoder_title(view: "ReportView") -> str:
    """Return how the location encoder was trained before fine-tuning."""
    return "untrained (loss none)" if view.loss == "none" else f"pre-trained ({view.loss})"


def draw_clusters(
    view: "ReportView", inputs: Mapping[str, Path], world: World, reach: Reach, file: Path, *, apart: Path | None = None
) -> tuple[list[str], float]:
    """Draw clusters of the first seed's embeddings before and after fine-tuning on the fewest labels, over land.

    Where fine-tuning left every embedding as it was, one map shows both.

    Args:
        view: the params.
        inputs: the folders of the stages.
        world: the ground. Clusters of the whole world are of `area_fair_grid`, those of a box of some of its pixels.
        reach: which places are drawn, and are in the clusters.
        file: the PNG.
        apart: as in `maps.observation_map`.

    Returns:
        the title of each map, and the share of the land whose cluster after fine-tuning is matched with its cluster before.
    """
    seed, ratio = view.seeds[0], view.label_ratios[0]
    lonlat = torch.from_numpy(world.lonlat[:: math.ceil(len(world.lonlat) / (3 * MAX_LINKED)) or 1])
    if not world.is_box:
        lonlat = area_fair_grid(view.report.grid_degrees)
        lat = lonlat[:, 1]
        lonlat = lonlat[torch.from_numpy(is_land(lonlat.numpy())) & (lat >= world.south) & (lat <= world.north)]
    lonlat = lonlat[torch.from_numpy(reach.within(lonlat.numpy(), slack_km=world.half_pixel_km))]
    if not len(lonlat):
        lonlat = reach.places.lonlat  # all of them lie at sea
    classifier = load_location_classifier(inputs["finetune-loc"] / piece(seed, ratio), remake=FINETUNE)
    encoder = load_location_encoder(inputs["pretrain"] / f"seed_{seed}", remake=PRETRAIN)
    of_encoder, of_classifier = (directions(one, lonlat) for one in (encoder, classifier.encoder))
    before = ordered_by(hierarchical_clusters(of_encoder, view.report.clusters), -lonlat[:, 1].abs().numpy())
    if np.array_equal(of_encoder, of_classifier):
        panels, kept = {f"{encoder_title(view)}, before and after fine-tuning, seed {seed}": before}, 1.0
    else:
        after, kept = matched(hierarchical_clusters(of_classifier, view.report.clusters), before)
        panels = {f"{encoder_title(view)}, seed {seed}": before, labels_title(ratio, seed): after}
    drawn = reach.within(world.lonlat, slack_km=world.half_pixel_km)
    maps.cluster_map(panels, lonlat.numpy(), world, file, drawn=drawn, apart=apart)
    return list(panels), kept


@dataclass(frozen=True)
class ClassFigures:
    """Where the maps of the location classifiers are written; each of ``apart`` is as in `maps.observation_map`."""

    one: Path
    likeliest: Path
    one_apart: Path | None = None
    likeliest_apart: Path | None = None


@torch.inference_mode()
def draw_classes(
    view: "ReportView", inputs: Mapping[str, Path], world: World, observations: Observations, chosen: int, files: ClassFigures
) -> tuple[list[str], str, list[tuple[str, str]]]:
    """Draw P(y|x) of one class by the first seed's classifiers of the smallest and the largest label ratio, and the most
    likely class by the latter, over land as far as `Reach.of` the labelled places.

    Returns:
        the title of each map of the class; of the most likely class that and the legend, as `likeliest_map` returns it.
    """
    seed, lonlat = view.seeds[0], torch.from_numpy(world.lonlat)
    in_class = (observations.label == chosen) & observations.located
    panels, title, number = {}, "", np.zeros(0, dtype=np.int64)
    for ratio in sorted({view.label_ratios[0], view.label_ratios[-1]}):
        location = LocationPredictor(load_location_classifier(inputs["finetune-loc"] / piece(seed, ratio), remake=FINETUNE))
        few = read_few_shot(inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
        reach = Reach.of(observations.lonlat[few & observations.located].numpy())
        drawn = reach.within(world.lonlat, slack_km=world.half_pixel_km)
        p, number = np.full(len(drawn), np.nan), np.full(len(drawn), -1)
        best = [
            (log_p[:, chosen].exp(), log_p.argmax(1)) for log_p in map(location, lonlat[torch.from_numpy(drawn)].split(8192))
        ]
        if best:
            p[drawn], number[drawn] = (torch.cat(parts).numpy() for parts in zip(*best, strict=True))
        title = labels_title(ratio, seed) + ("" if math.isinf(reach.km) else f", hatched beyond {reach.km:,g} km")
        panels[title] = maps.ClassPanel(p, observations.lonlat[few & in_class].numpy())
    roles = read_roles(inputs["split"], observations.obs_id)
    test = observations.lonlat[(roles["test"] | roles["spatial_test"]) & in_class].numpy()
    maps.class_map(panels, observations.classes[chosen], test, world, files.one, apart=files.one_apart)
    legend = likeliest_map(number, observations.classes, world, files.likeliest, title=f"The most likely class, {title}")
    if files.likeliest_apart is not None:
        likeliest_map(number, observations.classes, world, files.likeliest_apart / "0.png", title=None)
    return list(panels), title, legend


def labels_title(ratio: float, seed: int) -> str:
    """Return the title of a map of models that know labels; a probe leaves the encoder as it was."""
    return f"with {100 * ratio:g} % of the labels, seed {seed}"
