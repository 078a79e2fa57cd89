"""Stage finetune-img in mode `full`: fine-tune the whole image network with a head, for every seed and label ratio."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cspops.data.catalogue import Observations
from cspops.data.features import read_features
from cspops.data.given_features import GIVEN
from cspops.data.splits import piece as name_of
from cspops.data.splits import read_choosing, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.models.checkpoint import load_config, save_model
from cspops.models.heads import LinearProbe, Standardise
from cspops.models.loading import load_image_network
from cspops.params.image_networks import Full
from cspops.pipeline.pixels import Squares, decoded, on_device
from cspops.ranks import Processes
from cspops.shapes import Tensor
from cspops.site import Site
from cspops.training.curves import write_curve
from cspops.training.finetune_network import LabelledImages, finetune_network, image_features
from cspops.training.linear_probe import ITERATIONS, linear_probe
from cspops.training.loop import Run
from cspops.training.resume import Resume

log = logging.getLogger(__name__)

COLUMNS = ("epoch", "total", "val_nll", "val_top1")
JUDGED = ("val", "test", "spatial_val", "spatial_test")
REMAKE = "dvc repro pretrain-img"


@dataclass(frozen=True)
class Piece:
    """One training. Rows are those of the catalogue, increasing."""

    network: Path
    """The folder of F*."""
    pixels: Path
    pixel_rows: np.ndarray
    """The rows of these pixels."""
    train: np.ndarray
    train_label: np.ndarray
    val: np.ndarray
    val_label: np.ndarray
    judged: np.ndarray
    """The rows whose features are kept."""
    start: LinearProbe | Standardise
    settings: Full
    classes: int
    seed: int
    ratio: float
    progress: Path
    folder: Path
    """Where the outputs go."""


def fine_tuned(
    settings: Full,
    seeds: tuple[int, ...],
    ratios: tuple[float, ...],
    observations: Observations,
    site: Site,
) -> Callable[[int, float, Path], None]:
    """Decode the images of all rows and return what makes the folder of a seed and label ratio.

    Raises:
        DataError: the data set comes with image features and no images.
        EnvironmentProblem: the disk has no room for the pixels.
    """
    split, config = site.inputs["split"], load_config(site.inputs["pretrain-img"], remake=REMAKE)
    if config.get("model") == GIVEN:
        raise DataError(
            "the data set comes with image features and no images: finetune_img.mode: full has no network to fine-tune",
            hint="set finetune_img.mode: linear_probe in params.yaml",
        )
    obs_id, label = observations.obs_id, observations.label.numpy()
    roles = read_roles(split, obs_id)
    few = {(s, r): read_few_shot(split, obs_id, seed=s, ratio=r).numpy() for s in seeds for r in ratios}
    judged = torch.stack([roles[role] for role in JUDGED]).any(0).numpy() & (label >= 0)
    rows = np.flatnonzero(np.logical_or.reduce([*few.values(), judged]))
    otherwise = "finetune_img.mode: linear_probe"
    decoded(
        rows,
        Squares(config["px"], config.get("crop", 1.0), config.get("interpolation", "bicubic")),
        site,
        stage="finetune-img",
        kind="images",
        otherwise=otherwise,
    )
    matrix = read_features(site.inputs["featurize"], obs_id)
    progress = site.scratch / "progress"
    device = site.host.torch_device()

    def features_of(rows: np.ndarray) -> Tensor:
        return torch.from_numpy(matrix[rows].astype("float32"))

    def make(seed: int, ratio: float, folder: Path) -> None:
        done_before = (site.scratch / "pieces").glob("seed_*/*") if site.processes.first else ()
        for done in done_before:  # snapshots: five times a network's size each
            shutil.rmtree(progress / done.relative_to(site.scratch / "pieces"), ignore_errors=True)
        train = np.flatnonzero(few[seed, ratio])
        val = read_choosing(split, obs_id, seed=seed, ratio=ratio)["val"]
        features = features_of(few[seed, ratio])
        probe = None
        if settings.probe_l2 and settings.head == "linear":
            probe, _ = linear_probe(
                features,
                observations.label[few[seed, ratio]],
                features_of(val.numpy()),
                observations.label[val],
                classes=len(observations.classes),
                l2=settings.probe_l2,
                max_iterations=ITERATIONS,
            )
        piece = Piece(
            network=site.inputs["pretrain-img"],
            pixels=site.scratch / "pixels.npy",
            pixel_rows=rows,
            train=train,
            train_label=label[train],
            val=np.flatnonzero(val.numpy()),
            val_label=label[val.numpy()],
            judged=np.flatnonzero(judged),
            start=Standardise(features.shape[1]).fit(features) if probe is None else probe,
            settings=settings,
            classes=len(observations.classes),
            seed=seed,
            ratio=ratio,
            progress=progress / name_of(seed, ratio),
            folder=folder,
        )
        train_piece(piece, site.processes, device)

    return make


def train_piece(piece: Piece, processes: Processes, device: torch.device) -> None:
    """Train; the first process writes head, network, curve and the features of the judged rows."""
    network = load_image_network(piece.network, remake=REMAKE)
    pixels = on_device(torch.from_numpy(np.lib.format.open_memmap(piece.pixels, mode="r+")), device)

    def place(rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.searchsorted(piece.pixel_rows, rows))

    name, resume = f"finetune-img seed {piece.seed} ratio {piece.ratio:g}", Resume(piece.progress)
    model, curve = finetune_network(
        network,
        LabelledImages(pixels, place(piece.train), torch.from_numpy(piece.train_label), piece.classes),
        LabelledImages(pixels, place(piece.val), torch.from_numpy(piece.val_label), piece.classes),
        piece.settings,
        start=piece.start,
        name=name,
        run=Run(piece.seed, device, resume, processes),
    )
    if not processes.first:
        return
    save_model(piece.folder, model.head, model.head.config)
    save_model(piece.folder / "network", model.network, model.network.config)
    np.save(piece.folder / "rows.npy", piece.judged)
    np.save(piece.folder / "features.npy", image_features(model, pixels, place(piece.judged), device).numpy())
    write_curve(piece.folder / "curve.tsv", curve, columns=COLUMNS)
    best = min(curve, key=lambda row: row["val_nll"])
    log.info(
        f"finetune-img: seed {piece.seed}, ratio {piece.ratio:g}, {len(piece.train)} labels, epoch {best['epoch']:g} of "
        f"{len(curve)}, val NLL {best['val_nll']:.3f}"
    )
