"""What the models of one seed and label ratio say about the judged rows, some rows at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cspops.errors import DataError
from cspops.evaluation import combine
from cspops.evaluation.combine import row_blocks
from cspops.evaluation.predictions import Judged
from cspops.evaluation.released import read_released, released_log_p
from cspops.models.heads import ImageHead
from cspops.models.loading import load_image_classifier, load_location_classifier
from cspops.shapes import Float, Int, Tensor

REMAKE = "dvc repro finetune-img"

LogP = Callable[[Int[Tensor, "b"]], Tensor]
"""Numbers of judged rows to log P (b, q)."""


def once(model: LogP, judged: Judged, *, classes: int) -> LogP:
    """``model`` itself, or where all judged rows make one block a look-up in its answer to them all."""
    blocks = row_blocks(torch.arange(len(judged.label)), classes)
    if len(blocks) > 1:
        return model
    every = model(blocks[0])
    return lambda rows: every[rows]


class ImageModel:
    """log P(y|I) of the classifier in a folder of stage finetune-img, or of the released predictions there.

    Args:
        folder: of one seed and label ratio.
        judged: the rows.
        features: F*(I) of every row of the catalogue; only rows that are asked for are read. A network that was fine-tuned
            has left features of its own in the folder.
        classes: how many there are.
    """

    def __init__(self, folder: Path, judged: Judged, features: np.ndarray, *, classes: int) -> None:
        self.folder, self.features, self.row = folder, features, judged.row
        self.of_catalogue = judged.row
        self.released = read_released(folder, (len(features), classes))
        self.classifier = None if self.released is not None else load_image_classifier(folder, remake=REMAKE)
        if isinstance(self.classifier, ImageHead):
            self.features, self.row = _own_features(folder, judged)

    def __call__(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Of the judged rows numbered ``rows``."""
        if self.classifier is None:
            log_p = released_log_p(self.released, self.of_catalogue[rows])
        else:
            features = torch.from_numpy(self.features[self.row[rows].numpy()]).float()
            log_p = combine.image_log_p(self.classifier(features))
        return _finite(log_p, self.folder, "finetune-img")


class LocationModel:
    """log P(y|x) of the classifier in a folder of stage finetune-loc."""

    def __init__(self, folder: Path, judged: Judged) -> None:
        self.folder, self.judged = folder, judged
        self.classifier = load_location_classifier(folder, remake="dvc repro finetune-loc")

    def __call__(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Of the judged rows numbered ``rows``; uniform where they have no position."""
        scores = self.classifier(self.judged.lonlat[rows].nan_to_num())
        log_p = combine.location_log_p(scores, self.judged.located[rows], link=self.classifier.link)
        return _finite(log_p, self.folder, "finetune-loc")


def _own_features(folder: Path, judged: Judged) -> tuple[np.ndarray, Int[Tensor, "n"]]:
    """Features of the network that was fine-tuned with the classifier, and which row of them is that of each judged row."""
    features, rows = np.load(folder / "features.npy", mmap_mode="r"), torch.from_numpy(np.load(folder / "rows.npy"))
    place = torch.searchsorted(rows, judged.row).clamp(max=len(rows) - 1)
    if len(rows) != len(features) or not torch.equal(rows[place], judged.row):
        raise DataError(f"{folder / 'features.npy'} lacks some of the judged rows", hint=REMAKE)
    return features, place


def _finite(log_p: Tensor, folder: Path, stage: str) -> Tensor:
    if not log_p.isfinite().all():
        raise DataError(f"the model in {folder} gives scores that are not finite", hint=f"dvc repro -f {stage}")
    return log_p
