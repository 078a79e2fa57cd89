"""predictions.parquet: what each model said about every judged row, for `cspops versus` and for the reader's own questions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

TOP = 10


@dataclass(frozen=True)
class Judged:
    """The rows that are judged, in the catalogue's order."""

    obs_id: pa.Array
    label: torch.Tensor
    lonlat: torch.Tensor
    located: torch.Tensor
    roles: Mapping[str, torch.Tensor]
    """A mask for each role; they cut the rows into parts."""

    def role(self) -> np.ndarray:
        """The name of each row's role."""
        names = np.empty(len(self.label), dtype=object)
        for name, mask in self.roles.items():
            names[mask.numpy()] = name
        return names


def schema(models: tuple[str, ...]) -> pa.Schema:
    """One row a seed, label ratio and observation: of each model the best classes and log P(true class)."""
    return pa.schema(
        [
            ("seed", pa.int32()),
            ("label_ratio", pa.float64()),
            ("role", pa.string()),
            ("obs_id", pa.string()),
            ("label", pa.int32()),
            *((model, pa.list_(pa.int32())) for model in models),
            *((f"{model}_log_p", pa.float32()) for model in models),
        ]
    )


def predictions(judged: Judged, models: Mapping[str, torch.Tensor], *, seed: int, ratio: float) -> pa.Table:
    """The rows of one seed and label ratio; the ``TOP`` best classes (or all), best first."""
    n, q = next(iter(models.values())).shape
    k = min(TOP, q)
    offsets = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
    best = {model: log_p.topk(k, dim=1).indices.int().flatten() for model, log_p in models.items()}
    own = {model: log_p.gather(1, judged.label[:, None])[:, 0].float() for model, log_p in models.items()}
    return pa.table(
        {
            "seed": pa.array([seed] * n, pa.int32()),
            "label_ratio": pa.array([ratio] * n, pa.float64()),
            "role": judged.role(),
            "obs_id": judged.obs_id,
            "label": pa.array(judged.label.int().numpy()),
            **{model: pa.ListArray.from_arrays(offsets, pa.array(classes.numpy())) for model, classes in best.items()},
            **{f"{model}_log_p": pa.array(log_p.numpy()) for model, log_p in own.items()},
        },
        schema=schema(tuple(models)),
    )
