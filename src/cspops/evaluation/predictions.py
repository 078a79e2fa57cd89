"""predictions.parquet: what each model said about every judged row, for `cspops versus` and for the reader's own questions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cspops.shapes import Bool, Float, Int, Tensor

TOP = 10


@dataclass(frozen=True)
class Judged:
    """The rows that are judged, in the catalogue's order."""

    row: Int[Tensor, "n"]
    """Its number in the catalogue."""
    obs_id: pa.Array
    label: Int[Tensor, "n"]
    lonlat: Float[Tensor, "n 2"]
    located: Bool[Tensor, "n"]
    imaged: Bool[Tensor, "n"]
    """Whether there is a P(y|I): always but where predictions are the released ones, which may lack rows."""
    roles: Mapping[str, Bool[Tensor, "n"]]
    """A mask for each role; they cut the rows into parts, each all imaged or not at all."""

    def role(self) -> np.ndarray:
        """The name of each row's role."""
        names = np.empty(len(self.label), dtype=object)
        for name, mask in self.roles.items():
            names[mask.numpy()] = name
        return names


def schema(models: tuple[str, ...]) -> pa.Schema:
    """One row a seed, label ratio and observation: of each model the best classes, log P(true class), P(best class)."""
    return pa.schema(
        [
            ("seed", pa.int32()),
            ("label_ratio", pa.float64()),
            ("role", pa.string()),
            ("obs_id", pa.string()),
            ("label", pa.int32()),
            *((model, pa.list_(pa.int32())) for model in models),
            *((f"{model}_log_p", pa.float32()) for model in models),
            *((f"{model}_confidence", pa.float32()) for model in models),
        ]
    )


@dataclass(frozen=True)
class Answers:
    """What predictions.parquet holds of one model on every judged row."""

    best: Int[Tensor, "n top"]
    """The ``TOP`` best classes, or all, best first."""
    own: Float[Tensor, "n"]
    """log P of the true class."""
    confidence: Float[Tensor, "n"]
    """P of the best class."""


def predictions(judged: Judged, models: Mapping[str, Answers], *, seed: int, ratio: float) -> pa.Table:
    """The rows of one seed and label ratio, those without a P(y|I) left out."""
    there = judged.imaged
    n, k = int(there.sum()), next(iter(models.values())).best.shape[1]
    offsets = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
    best = {model: answers.best[there].int().flatten() for model, answers in models.items()}
    own = {model: answers.own[there].float() for model, answers in models.items()}
    confidence = {model: answers.confidence[there].float() for model, answers in models.items()}
    return pa.table(
        {
            "seed": pa.array([seed] * n, pa.int32()),
            "label_ratio": pa.array([ratio] * n, pa.float64()),
            "role": judged.role()[there.numpy()],
            "obs_id": judged.obs_id.filter(there.numpy()),
            "label": pa.array(judged.label[there].int().numpy()),
            **{model: pa.ListArray.from_arrays(offsets, pa.array(classes.numpy())) for model, classes in best.items()},
            **{f"{model}_log_p": pa.array(log_p.numpy()) for model, log_p in own.items()},
            **{f"{model}_confidence": pa.array(p.numpy()) for model, p in confidence.items()},
        },
        schema=schema(tuple(models)),
    )
