"""predictions.parquet: each model's best classes for every judged row, for `cspops versus` and the reader's own analyses."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cspops.evaluation.metrics import Judgement
from cspops.shapes import Bool, Float, Int, Tensor

TOP = 10


@dataclass(frozen=True)
class Judged:
    """The rows that are judged, in the catalogue's order."""

    row: Int[Tensor, "n"]
    """The row's number in the catalogue."""
    obs_id: pa.Array
    label: Int[Tensor, "n"]
    lonlat: Float[Tensor, "n 2"]
    located: Bool[Tensor, "n"]
    imaged: Bool[Tensor, "n"]
    """Whether there is a P(y|I): always, except that released predictions may lack rows."""
    roles: Mapping[str, Bool[Tensor, "n"]]
    """One mask per role; they divide the rows into parts, each of which is imaged as a whole or not at all."""

    def role(self) -> np.ndarray:
        """Return the name of each row's role."""
        names = np.empty(len(self.label), dtype=object)
        for name, mask in self.roles.items():
            names[mask.numpy()] = name
        return names


def schema(models: tuple[str, ...]) -> pa.Schema:
    """Return the columns of one row per seed, label ratio and observation: per model best classes, log P(true), P(best)."""
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


def predictions(
    judged: Judged, best: Mapping[str, Int[Tensor, "n top"]], judgements: Mapping[str, Judgement], *, seed: int, ratio: float
) -> pa.Table:
    """Return the rows of one seed and label ratio, without those that have no P(y|I).

    Args:
        best: per model the ``TOP`` best classes of each row, or all where there are fewer, best first.
        judgements: of these models, and perhaps of others.
    """
    imaged = judged.imaged
    n, k = int(imaged.sum()), next(iter(best.values())).shape[1]
    offsets = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
    classes = {model: some[imaged].int().flatten() for model, some in best.items()}
    own = {model: judgements[model].own[imaged].float() for model in best}
    confidence = {model: judgements[model].confidence[imaged].float() for model in best}
    return pa.table(
        {
            "seed": pa.array([seed] * n, pa.int32()),
            "label_ratio": pa.array([ratio] * n, pa.float64()),
            "role": judged.role()[imaged.numpy()],
            "obs_id": judged.obs_id.filter(imaged.numpy()),
            "label": pa.array(judged.label[imaged].int().numpy()),
            **{model: pa.ListArray.from_arrays(offsets, pa.array(some.numpy())) for model, some in classes.items()},
            **{f"{model}_log_p": pa.array(log_p.numpy()) for model, log_p in own.items()},
            **{f"{model}_confidence": pa.array(p.numpy()) for model, p in confidence.items()},
        },
        schema=schema(tuple(best)),
    )
