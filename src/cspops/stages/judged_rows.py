"""One set of predictions.parquet at one label ratio, as columns: what the report looks at row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.errors import DataError
from cspops.evaluation.summary import MODELS
from cspops.shapes import Bool, Float, Int


@dataclass(frozen=True)
class JudgedRows:
    """Rows of all seeds, a seed's own together and in the order of the seeds; n is seeds times rows of the set."""

    seed: Int[np.ndarray, "n"]
    row: Int[np.ndarray, "n"]
    """Its number in the catalogue."""
    label: Int[np.ndarray, "n"]
    guess: Mapping[str, Int[np.ndarray, "n"]]
    """The first choice of each model."""
    p_true: Mapping[str, Float[np.ndarray, "n"]]
    confidence: Mapping[str, Float[np.ndarray, "n"]]
    """P of the first choice."""

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(np.unique(self.seed))

    def hit(self, model: str) -> Bool[np.ndarray, "n"]:
        """Whether the first choice is the true class."""
        right: np.ndarray = self.guess[model] == self.label
        return right


def read_judged(folder: Path, obs_id: list[str], *, role: str, ratio: float) -> JudgedRows:
    """The rows of ``role`` at ``ratio`` in the folder of stage evaluate; ``obs_id`` are the catalogue's."""
    columns = [name for model in MODELS for name in (model, f"{model}_log_p", f"{model}_confidence")]
    file = folder / "predictions.parquet"
    lacking = set(columns) - set(pq.read_schema(file).names)
    if lacking:
        raise DataError(f"{file} has no column {min(lacking)!r}: another cspops wrote it", hint="dvc repro evaluate")
    table = pq.read_table(
        file,
        columns=["seed", "obs_id", "label", *columns],
        filters=[("role", "==", role), ("label_ratio", "==", ratio)],
    )
    return JudgedRows(
        table["seed"].to_numpy(),
        pc.index_in(table["obs_id"], pa.array(obs_id)).to_numpy().astype(np.int64),
        table["label"].to_numpy().astype(np.int64),
        {model: pc.list_element(table[model], 0).to_numpy().astype(np.int64) for model in MODELS},
        {model: np.exp(table[f"{model}_log_p"].to_numpy().astype(np.float64)) for model in MODELS},
        {model: table[f"{model}_confidence"].to_numpy().astype(np.float64) for model in MODELS},
    )
