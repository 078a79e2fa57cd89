"""The image classifier and the location classifier of a seed and label ratio, asked about rows that are judged."""

import math
from pathlib import Path

import numpy as np
import torch

from cspops.data.features import Features
from cspops.errors import DataError
from cspops.evaluation.predictions import Judged
from cspops.evaluation.predictor import CPU, ImagePredictor, LocationPredictor, LogP
from cspops.evaluation.released import read_released, released_log_p
from cspops.models.checkpoint import load_config
from cspops.models.heads import ImageHead
from cspops.models.loading import load_image_classifier, load_location_classifier
from cspops.shapes import Int, Tensor

FINETUNE_IMG, FINETUNE_LOC = "dvc repro finetune-img", "dvc repro finetune-loc"


def image_of_rows(folder: Path, judged: Judged, features: Features, *, classes: int, device: torch.device = CPU) -> LogP:
    """Return a function from numbers of judged rows to log P(y|I), of a classifier of stage finetune-img or as released.

    Args:
        folder: that of one seed and label ratio.
        judged: the rows.
        features: F*(I) of every row of the catalogue; only the rows in use are read. A fine-tuned network has left features of
            its own in the folder.
        classes: the number of classes.
        device: where the classifier computes; what it returns is on the CPU.
    """
    released = read_released(folder, (len(features), classes))
    if released is not None:
        return lambda rows: _finite(released_log_p(released, judged.row[rows]), folder, "finetune-img")
    classifier = load_image_classifier(folder, remake=FINETUNE_IMG)
    own: Features | np.ndarray
    own, row = _own_features(folder, judged) if isinstance(classifier, ImageHead) else (features, judged.row)
    image = ImagePredictor(classifier.to(device), device)
    return lambda rows: _finite(image(torch.from_numpy(own[row[rows].numpy()]).float()), folder, "finetune-img")


def _own_features(folder: Path, judged: Judged) -> tuple[np.ndarray, Int[Tensor, "n"]]:
    """Return the features of the network fine-tuned with the classifier, and which of their rows each judged row is."""
    features, rows = np.load(folder / "features.npy", mmap_mode="r"), torch.from_numpy(np.load(folder / "rows.npy"))
    place = torch.searchsorted(rows, judged.row).clamp(max=len(rows) - 1)
    if len(rows) != len(features) or not torch.equal(rows[place], judged.row):
        raise DataError(f"{folder / 'features.npy'} lacks some of the judged rows", hint=FINETUNE_IMG)
    return features, place


def takes_time(folder: Path) -> bool:
    """Return whether the classifier of stage finetune-loc in the folder of a seed and label ratio takes dates."""
    return "time" in load_config(folder, remake=FINETUNE_LOC).get("encoder", {})


def location_of_rows(folder: Path, judged: Judged, *, device: torch.device = CPU) -> LogP:
    """Return a function from numbers of judged rows to log P(y|x, t), of a classifier of stage finetune-loc."""
    location = LocationPredictor(load_location_classifier(folder, remake=FINETUNE_LOC).to(device), device)
    return lambda rows: _finite(location(judged.lonlat[rows], judged.when[rows]), folder, "finetune-loc")


def _finite(log_p: Tensor, folder: Path, stage: str) -> Tensor:
    if not math.isfinite(float(log_p.sum())):
        raise DataError(f"the model in {folder} gives scores that are not finite", hint=f"dvc repro -f {stage}")
    return log_p
