"""Who is unlabelled, few-shot labelled, validation or test, as stage split wrote it.

Roles: every training row is pre-trained on without its label; a few of them, per label ratio and seed, lend their
label to fine-tuning; `val` chooses, by all of its labels or as few (`split.val_labels`); `test` reports; `spatial_val` and
`spatial_test` lie in blocks of the map that hold no training row; `buffer` lies too near to those blocks and is neither
trained nor tested on.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.artefacts import read_columns
from cspops.errors import DataError
from cspops.shapes import Bool, Tensor

ROLES = ("train", "val", "test", "spatial_val", "spatial_test", "buffer")
CHOOSERS = ("val", "spatial_val")
REMAKE = "dvc repro split"


def read_roles(folder: Path, obs_id: list[str]) -> dict[str, Bool[Tensor, "n"]]:
    """Read a mask for each role; DataError when the file is about other observations."""
    file = folder / "roles.parquet"
    role = pc.index_in(_read(file, "role", obs_id), pa.array(ROLES)).fill_null(-1).to_numpy()
    if (role < 0).any():
        raise DataError(f"{file} holds a role that is not one of {', '.join(ROLES)}", hint=REMAKE)
    masks = {name: torch.from_numpy(role == number) for number, name in enumerate(ROLES)}
    if not masks["train"].any():
        raise DataError(f"{file} has no training row", hint="change split in params.yaml")
    return masks


def read_few_shot(folder: Path, obs_id: list[str], *, seed: int, ratio: float) -> Bool[Tensor, "n"]:
    """Read which rows lend their label at one seed and label ratio; DataError when there is none."""
    chosen = _up_to(ratio, folder / "few_shot.parquet", seed, obs_id)
    if not chosen.any():
        raise DataError(f"{folder / 'few_shot.parquet'} has no labelled row for seed {seed} at ratio {ratio:g}", hint=REMAKE)
    return chosen


def read_choosing(folder: Path, obs_id: list[str], *, seed: int, ratio: float) -> dict[str, Bool[Tensor, "n"]]:
    """Read which labelled rows of each of ``CHOOSERS`` may choose anything at one seed and label ratio."""
    roles = read_roles(folder, obs_id)
    chosen = _up_to(ratio, folder / "choosing.parquet", seed, obs_id)
    return {role: roles[role] & chosen for role in CHOOSERS}


def _up_to(ratio: float, file: Path, seed: int, obs_id: list[str]) -> Bool[Tensor, "n"]:
    """Read the rows whose level at one seed is at most ``ratio``."""
    level = _read(file, f"seed_{seed}", obs_id).fill_null(np.inf).to_numpy()
    return torch.from_numpy(level <= np.float32(ratio))


def ratio_key(ratio: float) -> str:
    """Return the name of a label ratio in files and metrics: `label_5` for 0.05, `label_0p5` for 0.005 (no dots)."""
    return f"label_{f'{100 * ratio:.6g}'.replace('.', 'p')}"


def _read(file: Path, column: str, obs_id: list[str]) -> pa.ChunkedArray:
    kind = pa.string() if column == "role" else pa.float32()
    table = read_columns(file, pa.schema([("obs_id", pa.string()), (column, kind)]), remake=REMAKE)
    if not table["obs_id"].equals(pa.chunked_array([pa.array(obs_id, pa.string())])):
        raise DataError(f"{file} is about other observations than the catalogue", hint=REMAKE)
    return table[column]


def piece(seed: int, ratio: float) -> Path:
    """Return where the model of a seed and label ratio lies inside its stage's folder."""
    return Path(f"seed_{seed}") / ratio_key(ratio)
