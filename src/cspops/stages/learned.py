"""What the models of one seed and label ratio say about the judged rows, some rows at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cspops.errors import DataError
from cspops.evaluation import combine
from cspops.evaluation.row_blocks import row_blocks
from cspops.models.checkpoint import load_config, load_weights
from cspops.models.heads import LinearProbe
from cspops.models.loading import load_location_classifier
from cspops.shapes import Float, Int, Tensor
from cspops.stages.predictions import Judged
from cspops.stages.released_predictions import read_released, released_log_p

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
        features: F*(I) of every row of the catalogue; only rows that are asked for are read.
        classes: how many there are.
    """

    def __init__(self, folder: Path, judged: Judged, features: np.ndarray, *, classes: int) -> None:
        self.folder, self.judged, self.features = folder, judged, features
        self.released = read_released(folder, (len(features), classes))
        self.probe = None if self.released is not None else load_probe(folder)

    def __call__(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Of the judged rows numbered ``rows``."""
        of_catalogue = self.judged.row[rows]
        if self.probe is None:
            log_p = released_log_p(self.released, of_catalogue)
        else:
            log_p = combine.image_log_p(self.probe(torch.from_numpy(self.features[of_catalogue.numpy()]).float()))
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


def load_probe(folder: Path) -> LinearProbe:
    """The classifier g in ``folder``, in eval mode."""
    remake = "dvc repro finetune-img"
    probe = LinearProbe(**load_config(folder, remake=remake))
    load_weights(folder, probe, remake=remake)
    return probe.eval()


def _finite(log_p: Tensor, folder: Path, stage: str) -> Tensor:
    if not log_p.isfinite().all():
        raise DataError(f"the model in {folder} gives scores that are not finite", hint=f"dvc repro -f {stage}")
    return log_p
