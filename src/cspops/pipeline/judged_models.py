"""The image classifier and the location classifier of a seed and label ratio, asked about rows that are judged."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cspops.data.features import Features
from cspops.errors import DataError
from cspops.evaluation.metrics import FUSION, MODELS
from cspops.evaluation.predictions import Judged
from cspops.evaluation.predictor import CPU, LocationPredictor, LogP, image_log_p
from cspops.evaluation.released import read_released, released_log_p
from cspops.models.checkpoint import load_config
from cspops.models.heads import ImageHead
from cspops.models.loading import load_fusion, load_image_classifier, load_location_classifier
from cspops.models.location_encoder import Link
from cspops.shapes import Int, Tensor

ScoresOf = Callable[[Int[Tensor, "b"]], Tensor]
"""From numbers of judged rows to their scores (b, q)."""
FINETUNE_IMG, FINETUNE_LOC = "dvc repro finetune-img", "dvc repro finetune-loc"


def image_of_rows(folder: Path, judged: Judged, features: Features, *, classes: int, device: torch.device = CPU) -> ScoresOf:
    """Return a function from numbers of judged rows to scores whose softmax is P(y|I): logits, or as released.

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
    image = classifier.to(device)
    return lambda rows: _finite(
        image(torch.from_numpy(own[row[rows].numpy()]).float().to(device)).cpu(), folder, "finetune-img"
    )


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


def location_of_rows(folder: Path, judged: Judged, *, device: torch.device = CPU) -> tuple[ScoresOf, Link]:
    """Return a function from numbers of judged rows to the scores of a location classifier, and its link."""
    location = LocationPredictor(load_location_classifier(folder, remake=FINETUNE_LOC).to(device), device)

    def scores(rows: Int[Tensor, "b"]) -> Tensor:
        return _finite(location.scores(judged.lonlat[rows], judged.when[rows]), folder, "finetune-loc")

    return scores, location.classifier.link


def names_of_models(folder: Path) -> tuple[str, ...]:
    """Return the models that are judged, of a run with ``folder`` of one location classifier."""
    return (*MODELS, FUSION) if (folder / FUSION).is_dir() else MODELS


def fusion_of_rows(folder: Path, judged: Judged, features: Features, *, device: torch.device = CPU) -> LogP | None:
    """Return a function from numbers of judged rows to log P(y|I, x) of a fusion of stage finetune-loc; None without one.

    Of a row without a position it tells nothing. The image features are the frozen ones, whatever the image classifier's.
    """
    if not (folder / FUSION).is_dir():
        return None
    head = load_fusion(folder / FUSION, remake=FINETUNE_LOC).to(device)
    encoder = load_location_classifier(folder, remake=FINETUNE_LOC).encoder.to(device)

    def log_p(rows: Int[Tensor, "b"]) -> Tensor:
        image_features = torch.from_numpy(features[judged.row[rows].numpy()]).float()
        loc_emb = encoder(judged.lonlat[rows].nan_to_num().to(device), judged.when[rows].to(device))
        return _finite(image_log_p(head(image_features.to(device), loc_emb)).cpu(), folder / FUSION, "finetune-loc")

    return log_p


def _finite(scores: Tensor, folder: Path, stage: str) -> Tensor:
    if not math.isfinite(float(scores.sum())):
        raise DataError(f"the model in {folder} gives scores that are not finite", hint=f"dvc repro -f {stage}")
    return scores
