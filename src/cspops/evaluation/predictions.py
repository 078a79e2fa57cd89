"""predictions.parquet: each model's best classes for every judged row, for `cspops versus` and the reader's own analyses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.artefacts import of_types, require_file, whole_parquet
from cspops.errors import DataError
from cspops.evaluation.metrics import FUSION, MODELS, Judgement
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
    when: Float[Tensor, "n"]
    """Shares of the year, see `data.dates`; nan where there is no date."""
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


def read_predictions(
    source: Path | BinaryIO, columns: Sequence[str], *, optional: Sequence[str] = (), name: str, remake: str
) -> Iterator[pa.RecordBatch]:
    """Yield columns of a predictions.parquet, some rows at a time; no cell of them is empty.

    Args:
        source: the file, or an open one.
        columns: those that it must have.
        optional: those that come after them where it has them.
        name: what messages call it.

    Raises:
        DataError: it is missing, not whole, or holds something else.
    """
    if isinstance(source, Path):
        require_file(source, remake=remake)
    with whole_parquet(name, remake=remake):
        opened = pq.ParquetFile(source)
        there = opened.schema_arrow.names
        wanted = _of_schema([*columns, *(one for one in optional if one in there)])
        for batch in opened.iter_batches(columns=[one for one in wanted.names if one in there]):
            part = of_types(batch, wanted, name=name, remake=remake)
            for model in {*MODELS, FUSION} & {*wanted.names}:
                best = part[model]
                if len(best) and (pc.min(pc.list_value_length(best)).as_py() == 0 or pc.list_flatten(best).null_count):
                    raise DataError(f"{name} holds a row without a best class of {model}", hint=remake)
            yield part


def predictions_table(
    source: Path | BinaryIO, columns: Sequence[str], *, optional: Sequence[str] = (), name: str, remake: str
) -> pa.Table:
    """Return what `read_predictions` yields as one table."""
    parts = list(read_predictions(source, columns, optional=optional, name=name, remake=remake))
    return pa.Table.from_batches(parts) if parts else _of_schema(columns).empty_table()


def _of_schema(columns: Sequence[str]) -> pa.Schema:
    """Return some columns of `schema`, none of which has an empty cell."""
    known = schema((*MODELS, FUSION))
    return pa.schema([known.field(one).with_nullable(False) for one in columns])


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
