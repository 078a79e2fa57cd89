"""Geography-aware self-supervision (Ayush et al. 2021): MoCo-v2 whose keys show the same place at another date, and which
also learns the cluster of positions that an image is from. With neither it is MoCo."""

import torch
from torch import nn

from cspops.imagessl.images import Facts, Pretrained, UnlabelledImages
from cspops.imagessl.moco import MomentumContrast, sgd
from cspops.imagessl.monitor import train_watched
from cspops.imagessl.places import Places
from cspops.imagessl.position_clusters import PositionClusters, fit_centres, points_of
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import GeoSsl
from cspops.pixels.views import Augmentation, Views
from cspops.shapes import Int, Tensor
from cspops.training.loop import Run, Training


def geo_ssl(network: ImageNetwork, images: UnlabelledImages, settings: GeoSsl, run: Run) -> Pretrained:
    """Train ``network`` in place: total = contrast + weight_geo geo.

    temporal: the key of a row is a view of an image of the same place with another date, drawn anew at each step, or, where
    there is none, another view of the row's own image, as in MoCo; `temporal_fallback` is the share of such rows.

    geo: the cross-entropy of the row's cluster of positions, predicted from the query's projection before it is brought to
    length 1. Rows without a position are left out of it.

    Several processes share queue and `norm_groups` as in `moco`.

    Raises:
        DataError: fewer than two images, or with geo fewer than two distinct positions.
    """
    seed, device = run.seed, run.device
    images.require(2, "Geo-SSL contrasts images with one another")
    network = network.to(device)
    places = Places.of(images, metres=settings.place_metres, device=device)
    temporal = settings.temporal and not bool(places.alone.all())
    distinct = len(places) if temporal else len(images)  # a longer queue would hold keys of the query's own place
    contrast = MomentumContrast(network, settings, images=distinct, seed=seed, processes=run.processes).to(device).train()
    view = Views(images.pixels, device, Augmentation.of(settings))
    trained = nn.ModuleDict({"query": contrast.query})
    modules: dict[str, nn.Module] = {"contrast": contrast}
    facts: Facts = {}
    if settings.temporal:
        facts["temporal_fallback"] = round(float(places.alone.double().mean()), 4)
    if settings.geo:
        points = points_of(images.lonlat, settings.space)
        centres = fit_centres(points, settings.clusters or clusters_of(places.place[images.located.to(device)]), seed=seed)
        modules["clusters"] = trained["clusters"] = clusters = PositionClusters(settings.dim, centres, seed=seed).to(device)
        on_device = points.float().to(device)
        facts |= {"clusters": len(centres), "rows_without_position": int((~images.located).sum())}

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        processes, n = contrast.processes, len(rows)
        mine = processes.share(n)

        def keys() -> Tensor:
            return view(places.partners(rows, draws) if temporal else rows, draws, mine)

        loss, projected = contrast.contrast(view(rows, draws, mine), keys, draws, n)
        if not settings.geo:
            return processes.weighted({"total": loss}, n)
        located = clusters.located(on_device[rows]) / (processes.size if processes.shares(n) else 1)
        parts = processes.weighted({"contrast": loss}, n) | {"geo": clusters(projected, on_device[rows[mine]], located)}
        return {"total": parts["contrast"] + settings.weight_geo * parts["geo"]} | parts

    name = "moco" + "+geo" * settings.geo + "+tp" * temporal  # the authors' names; they also name the random streams
    training = Training(name, modules, sgd(trained, settings), step)
    return train_watched(network, images, training, settings, run, facts)


def clusters_of(place: Int[Tensor, "n"]) -> int:
    """Return the usual number of clusters: a tenth of the places, from 2 to the authors' 100."""
    return min(100, max(2, len(place.unique()) // 10))
