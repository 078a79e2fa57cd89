"""Released P(y|I): the image predictions that the authors of CSP (after `macaodha/geo_prior`) distribute.

A file has a row for each image of the official validation split, in the order of its json, and a column for each
category id from 0: probabilities, a scipy csr (.npz, iNaturalist 2018) or a dense matrix (.npy, fMoW). One file holds the
predictions of a network that was fine-tuned on all labels, others those of networks fine-tuned on a share of them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cspops.artefacts import json_as
from cspops.errors import DataError
from cspops.intake.rows import file_facts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


FORMAT = "a csr of scipy.sparse.save_npz, or an .npy matrix: probabilities, a row for each image"
ROWS_AT_ONCE = 4096
NUMBERS = "fiub"
"""Kinds of numpy that may be probabilities: floats, integers, booleans."""


def ratio_text(ratio: float) -> str:
    """Return a label ratio as a key of `files`: `0.05`, `1`."""
    return f"{ratio:.6g}"


def list_released(
    root: Path, *, folder: str, full: str, few_shot: str, matrix: Path, classes: Sequence[str | None], remarks: list[str]
) -> dict[str, Any] | None:
    """Return `Source.predictions` of the files that lie below ``root``; None, and a remark, where there are none.

    Args:
        root: `CSPOPS_DATA_ROOT/folder`.
        folder: below CSPOPS_DATA_ROOT.
        full: the file of ratio 1, below the folder that holds the matrix's.
        few_shot: the others, with `{ratio:.3f}` in the place of the ratio.
        matrix: of image features; its rows are the rows of each file.
        classes: name of each column.
    """
    prefix = matrix.parents[1].relative_to(root)
    full, few_shot = (prefix / full).as_posix(), (prefix / few_shot).as_posix()
    before, after = few_shot.split("{ratio:.3f}")
    files = {ratio_text(1.0): root / full} if (root / full).is_file() else {}
    for file in sorted(root.glob(f"{before}*{after}")):
        ratio = re.fullmatch(re.escape(before) + r"(\d*\.\d+|\d+)" + re.escape(after), file.relative_to(root).as_posix())
        if ratio and 0 < float(ratio[1]) < 1:
            files[ratio_text(float(ratio[1]))] = file
    if not files:
        remarks.append(f"no released predictions of images: neither {full} nor {few_shot.format(ratio=0.05)} is below {folder}")
        return None
    return {
        "folder": folder,
        "files": {
            ratio: {"path": file.relative_to(root).as_posix(), "sha256": file_facts(file)["sha256"]}
            for ratio, file in sorted(files.items(), key=lambda item: float(item[0]))
        },
        "expected": {"full": full, "few_shot": few_shot},
        "rows": matrix.relative_to(root).as_posix(),
        "classes": list(classes),
    }


def read_released(folder_of_download: Path, *, data_root: Path = Path()) -> "Released | None":
    """Read `released.json` of stage download; None where the source has no predictions.

    ``data_root`` is CSPOPS_DATA_ROOT, where the files themselves are.
    """
    file = folder_of_download / "released.json"
    content = json_as(file, dict[str, Any] | None, remake="dvc repro download")
    if content is None:
        return None
    if not isinstance(content.get("folder"), str):
        raise DataError(f"{file} is broken: it names no folder", hint="dvc repro -f download")
    return Released(data_root / content["folder"], content)


@dataclass(frozen=True)
class Released:
    """Image predictions by label ratio."""

    root: Path
    content: Mapping[str, Any]
    """As `list_released` makes it."""

    def probabilities(self, ratio: float, *, rows: pa.ChunkedArray, classes: Sequence[str]) -> "csr_array":
        """Return P(y|I), a csr (n, q) float32; observations without a prediction have an empty row.

        Rows need not sum to one: the authors dropped small values of the sparse form.

        Args:
            ratio: label ratio of the network that predicted.
            rows: `image_features` of the n observations, as the catalogue's column.
            classes: the q names, in the order of classes.json.

        Raises:
            DataError: no such ratio, a file that is missing, changed or no probabilities, a class without a column.
        """
        from scipy import sparse

        names = self.content["classes"]
        column = {name: number for number, name in enumerate(names) if name is not None}
        lacking = [name for name in classes if name not in column]
        if lacking:
            raise DataError(
                f"the released predictions have no column for {len(lacking)} of the classes, such as {lacking[0]!r}",
                hint="finetune_img.mode: linear_probe in params.yaml",
            )
        file, matrix = self._open(ratio)
        paths, numbers = rows.combine_chunks().flatten()
        path, row = (part.to_numpy(zero_copy_only=False) for part in (paths, numbers.fill_null(-1)))
        has = np.flatnonzero((path == self.content["rows"]) & (row >= 0))
        if matrix.shape[1] != len(names):
            raise DataError(f"{file} has {matrix.shape[1]} columns, but there are {len(names)} category ids")
        if len(has) and int(row[has].max()) >= matrix.shape[0]:
            raise DataError(f"{file} has {matrix.shape[0]} rows, but row {int(row[has].max())} is asked for")
        wanted = [column[name] for name in classes]
        parts = []
        for start in range(0, len(has), ROWS_AT_ONCE):
            block = sparse.csr_array(_wide(matrix[row[has[start : start + ROWS_AT_ONCE]]]))
            _check(block, file)
            parts.append(block[:, wanted].astype(np.float32))
        stacked = sparse.vstack(parts, format="csr") if parts else sparse.csr_array((0, len(classes)), dtype=np.float32)
        stacked.sum_duplicates()
        stacked.eliminate_zeros()
        sizes = np.zeros(len(path) + 1, dtype=np.int64)
        sizes[has + 1] = np.diff(stacked.indptr)
        return sparse.csr_array((stacked.data, stacked.indices, np.cumsum(sizes)), shape=(len(path), len(classes)))

    def _open(self, ratio: float) -> tuple[Path, Any]:
        """Open the file of a ratio, and its matrix: csr, or dense on disk."""
        from scipy import sparse

        about, expected = self.content["files"].get(ratio_text(ratio)), self.content["expected"]
        if about is None:
            name = expected["full"] if ratio == 1 else expected["few_shot"].format(ratio=ratio)
            raise DataError(
                f"no released predictions for the label ratio {ratio:g} of split.label_ratios: {self.root / name} was not "
                f"there when stage download ran; there are those for {', '.join(self.content['files'])}",
                hint=f"put it there and dvc repro -f download, or take {ratio:g} out of split.label_ratios",
            )
        file = self.root / about["path"]
        if not file.is_file():
            raise DataError(
                f"{file} is missing: the released predictions for the label ratio {ratio:g} of split.label_ratios",
                hint="set CSPOPS_DATA_ROOT to the folder that stage download read, or dvc repro -f download",
            )
        if file_facts(file)["sha256"] != about["sha256"]:
            raise DataError(f"{file} is not the file that stage download saw", hint="dvc repro -f download")
        try:
            if file.suffix == ".npz":
                matrix = sparse.csr_array(sparse.load_npz(file))
                matrix.sort_indices()
            else:
                matrix = np.load(file, mmap_mode="r", allow_pickle=False)
                if matrix.ndim != 2:
                    raise ValueError(f"its shape is {matrix.shape}")
            if matrix.dtype.kind not in NUMBERS:
                raise ValueError(f"its values are not real numbers but of kind {matrix.dtype}")
        except Exception as error:  # numpy's and zipfile's readers raise many kinds at bytes that are no array
            raise DataError(f"{file} cannot be read: {' '.join(str(error).split())[:120]}", hint=FORMAT) from None
        return file, matrix


def _wide(values: Any) -> Any:
    """Return float16 as float32: scipy.sparse has no arithmetic of it."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _check(block: "csr_array", file: Path) -> None:
    """Raise DataError unless the block may be probabilities, which float32 and float16 sum to one within 1e-3."""
    values = block.data
    if np.isnan(values).any():
        raise DataError(f"{file} holds no probabilities: there are NaN among its {values.dtype}", hint=FORMAT)
    if values.size and not (values.min() >= 0 and block.sum(axis=1).max() <= 1.001):
        raise DataError(f"{file} holds no probabilities: values below 0, or rows that sum to more than 1", hint=FORMAT)
