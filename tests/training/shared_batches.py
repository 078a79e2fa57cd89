"""Trainings that one process or several make, with what came out as one dict of tensors per training."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path += [
    str(Path(__file__).parents[1] / folder) for folder in ("imagessl", "gair")
]  # in processes that pytest did not start
from seasons import seasons, small_network
from small_gair import places as gair_places
from small_gair import settings as gair_settings
from unlabelled import backbone

from cspops.data.batches import Labelled, Unlabelled
from cspops.data.negatives import Sampler, dated_sampler
from cspops.gair.pretraining import gair
from cspops.geo import uniform_on_sphere, unit_vectors
from cspops.imagessl.geo_ssl import geo_ssl
from cspops.imagessl.geokr import geokr
from cspops.imagessl.images import Pretrained
from cspops.imagessl.land_cover import LandCover
from cspops.imagessl.moco import moco
from cspops.imagessl.monitor import MONITOR
from cspops.imagessl.seco import seco
from cspops.imagessl.tile2vec import tile2vec
from cspops.models.backbones import ImageNetwork
from cspops.models.location_encoder import LocationEncoder
from cspops.params.image_networks import Geokr, GeoSsl, Moco, Seco, Tile2Vec
from cspops.params.location_classifiers import CrossEntropy, Focal, FullLoc, PresenceAbsence, PresenceAbsenceReleased
from cspops.params.sections import McLoss, MseLoss, NceLoss, Pretrain
from cspops.ranks import ALONE, Processes
from cspops.training.finetune_loc import finetune_loc
from cspops.training.loop import Curve, Run
from cspops.training.pretrain import pretrain

CPU = torch.device("cpu")
TAUS = {"tau_batch": 0.2, "tau_locations": 0.2, "tau_dropout": 0.2}
WEIGHTS = {"weight_locations": 0.5, "weight_dropout": 2.0}
ENCODING = {"name": "grid", "scales": 4, "r_min": 10.0, "r_max": 360.0}
FFN = {"name": "ffn", "hidden_layers": 2, "hidden": 16, "dropout": 0.5}
TIME = {"name": "harmonics", "orders": 2, "dropped": 0.3}
RESIDUAL = {"name": "residual", "layers": 1, "dropout": 0.3}


def encoder(network: dict[str, object], *, dated: bool = False) -> dict[str, object]:
    """Eight bits of a mask for a rate of 0.5, sixteen for 0.3."""
    return {"encoding": ENCODING, "network": network, "dim": 8} | ({"time": TIME} if dated else {})


def world(n: int) -> Unlabelled:
    """Places uniform on the sphere, and image features that are waves over it; one in five has no date."""
    lonlat = uniform_on_sphere(n, generator=torch.Generator().manual_seed(0))
    waves = torch.randn(3, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    when = torch.rand(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    when[::5] = torch.nan
    return Unlabelled(lonlat, (3 * unit_vectors(lonlat) @ waves).sin().float(), when)


def law(*, dated: bool) -> Sampler:
    data = world(43)
    return dated_sampler("sphere", data=data.lonlat, when=data.when) if dated else uniform_on_sphere


Result = dict[str, torch.Tensor]


def result(module: torch.nn.Module, curve: Curve) -> Result:
    losses = {f"curve {i} {key}": torch.tensor(value) for i, row in enumerate(curve) for key, value in row.items()}
    return losses | {name: value.clone(memory_format=torch.contiguous_format) for name, value in module.state_dict().items()}


def pretrainings() -> Iterator[tuple[str, Callable[[Processes], Result]]]:
    """Each loss with all its terms: 43 rows in batches of 18, 18 and 7, of which four processes cannot share the last."""

    def make(
        loss: McLoss | NceLoss | MseLoss, network: dict[str, object], *, dated: bool = False
    ) -> Callable[[Processes], Result]:
        schedule = Pretrain(epochs=2, batch_size=18, negative_locations=3, negatives="sphere")

        def train(processes: Processes) -> Result:
            run = Run(0, CPU, None, processes)
            start, negatives = encoder(network, dated=dated), law(dated=dated)
            return result(*pretrain(world(43), start, loss, schedule=schedule, negatives=negatives, run=run))

        return train

    for terms in ("B", "BL", "BD", "BLD"):
        mc = {"symmetric": terms == "BL", "learn_temperature": terms == "BLD"}
        yield f"mc {terms}", make(McLoss(terms=terms, **mc, **TAUS, **WEIGHTS, learning_rate=0.003), FFN)
        yield f"nce {terms}", make(NceLoss(terms=terms, **WEIGHTS, learning_rate=0.003), FFN)
    yield "mc BLD residual", make(McLoss(terms="BLD", **mc, **TAUS, **WEIGHTS, learning_rate=0.003), RESIDUAL)
    yield "mse", make(MseLoss(learning_rate=0.003), FFN)
    yield "mc BLD dated", make(McLoss(terms="BLD", **mc, **TAUS, **WEIGHTS, learning_rate=0.003), FFN, dated=True)
    yield "mse dated", make(MseLoss(learning_rate=0.003), RESIDUAL, dated=True)


def finetunings() -> Iterator[tuple[str, Callable[[Processes], Result]]]:
    """Each loss of mode `full`: 30 of 41 rows at a time, validation on 13."""
    data, labels = world(54), torch.arange(54) % 7
    places, when = data.lonlat, data.when
    losses = {
        "presence_absence": PresenceAbsence(beta=0.3),
        "released": PresenceAbsenceReleased(weight_background=0.5),
        "cross_entropy": CrossEntropy(label_smoothing=0.1),
        "focal": Focal(gamma=2.0),
    }

    def make(
        loss: PresenceAbsence | PresenceAbsenceReleased | CrossEntropy | Focal, *, dated: bool = False
    ) -> Callable[[Processes], Result]:
        settings = FullLoc(
            steps=4,
            negatives="sphere",
            batch_size=30,
            learning_rate=0.003,
            encoder_rate=0.5,
            schedule="cosine",
            last_rate=0.0,
            patience=5,
            check_every=2,
        )

        def train(processes: Processes) -> Result:
            torch.manual_seed(0)
            return result(
                *finetune_loc(
                    Labelled(places[:41], labels[:41], 7, when[:41]),
                    LocationEncoder(encoder(FFN, dated=dated)),
                    settings,
                    loss,
                    negatives=law(dated=dated),
                    val=Labelled(places[41:], labels[41:], 7, when[41:]),
                    run=Run(0, CPU, None, processes),
                )
            )

        return train

    for name, loss in losses.items():
        yield name, make(loss)
        yield f"{name} dated", make(loss, dated=True)


def image_pretrainings() -> Iterator[tuple[str, Callable[[Processes], Result]]]:
    """Each method, of which those that compare batch-norm groups have batch norm: a group is a process's, or half of it.

    60 rows in batches of 23, 23 and 14; groups of batches are unequal.
    """
    rows = seasons(20, 3)

    def weights(network: ImageNetwork, curve: Curve) -> Result:
        known = [{key: value for key, value in row.items() if key != MONITOR} for row in curve]  # of the running statistics
        made = result(network, known)
        return {key: value for key, value in made.items() if "running" not in key and "tracked" not in key}

    def make(method: Callable[..., Pretrained], settings: object, **more: object) -> Callable[[Processes], Result]:
        def train(processes: Processes) -> Result:
            network = small_network()
            if method in (tile2vec, geokr):
                network = without_norm(network)
            return weights(network, method(network, rows, settings, Run(0, CPU, None, processes), **more).curve)

        return train

    moco_settings = {
        "epochs": 2,
        "batch_size": 23,
        "learning_rate": 0.05,
        "weight_decay": 0.0005,
        "momentum": 0.9,
        "temperature": 0.1,
        "queue": 16,
        "dim": 8,
        "norm_groups": 4,
        "min_scale": 0.7,
        "colour_jitter": 0.1,
        "grey": 0.1,
        "blur": 0.5,
        "turns": True,
    }
    yield "moco", make(moco, Moco(**moco_settings))
    geo = {"temporal": True, "geo": True, "weight_geo": 0.7, "clusters": 5, "space": "sphere", "place_metres": None}
    yield "geo_ssl", make(geo_ssl, GeoSsl(**moco_settings, **geo))
    yield "seco", make(seco, Seco(**moco_settings | {"batch_size": 12}, place_metres=None, least_share=0.1))
    near = {"margin": 10.0, "l2": 0.01, "mode": "catalogue", "neighbour_km": None, "distant_km": None, "min_scale": 0.25}
    cut = {"tile_px": 8, "neighbourhood_px": 6, "same_image": False, "raster": None, "turns": True}
    yield "tile2vec", make(tile2vec, Tile2Vec(epochs=2, batch_size=23, learning_rate=0.001, **near, **cut))
    slow = {"reduction": "entries", "momentum": 0.95, "teacher_update_every": 2, "raster": "climate_zones", "side_km": 100.0}
    share = torch.rand(60, 4, generator=torch.Generator().manual_seed(0))
    cover = LandCover(torch.arange(60), share / share.sum(1, keepdim=True), (0, 1, 2, 3), 0, "")
    rates = {"epochs": 2, "batch_size": 23, "learning_rate": 0.001, "colour_jitter": 0.1, "turns": True}
    yield "geokr", make(geokr, Geokr(**rates, **slow), land_cover=cover)


def without_norm(network: ImageNetwork) -> ImageNetwork:
    """The network with its batch norm in eval mode for good."""
    layers = [layer for layer in network.network if not isinstance(layer, torch.nn.BatchNorm2d)]
    return ImageNetwork(network.config, torch.nn.Sequential(*layers))


def gair_pretrainings() -> Iterator[tuple[str, Callable[[Processes], Result]]]:
    """Photos, overhead images and places, encoded by networks with layer norm, and what keeps these near their start."""

    def make(photos: bool) -> Callable[[Processes], Result]:
        overhead = {"model": "timm:test_convnext", "weights": "random", "px": 32, "stride": 4}
        changes = {"overhead": overhead, "decoder": "mlp", "distillation": 0.1, "learn_temperature": True, "epochs": 1}
        features = {} if photos else {"features": "overhead_at_place"}
        settings = gair_settings(**changes, **features, learning_rate=GAIR_RATE)

        def train(processes: Processes) -> Result:
            run = Run(0, CPU, None, processes)
            alignment, made = gair(backbone("timm:test_convnext"), gair_places(37, photos=photos), settings, run)
            return result(alignment, made.curve)

        return train

    yield "gair", make(True)
    yield "gair without photos", make(False)


GAIR_RATE = 1e-4
"""Steps of Adam are so long even where a gradient is 0 but for rounding."""


def trainings() -> dict[str, Callable[[Processes], Result]]:
    """All of them by name."""
    return dict([*pretrainings(), *finetunings(), *image_pretrainings(), *gair_pretrainings()])


def train_all(folder: Path, processes: Processes = ALONE, device: torch.device = CPU) -> None:
    """Make them all; each process writes what came out of them."""
    for name, train in trainings().items():
        save_file(train(processes), folder / f"{name} {processes.rank} of {processes.size}.safetensors")
