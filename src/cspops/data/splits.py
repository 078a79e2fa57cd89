"""Who is unlabelled, few-shot labelled, validation or test.

Roles: every training row is pre-trained on without its label; a few of them, per label ratio and seed, lend their
label to fine-tuning; `val` chooses; `test` reports; `spatial_val` and `spatial_test` lie in blocks of the map that hold
no training row; `buffer` lies too near to those blocks and is neither trained nor tested on.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.errors import DataError
from cspops.geo import blocks, near_blocks
from cspops.seeds import numpy_stream
from cspops.shapes import Bool, Float, Int, Tensor

ROLES = ("train", "val", "test", "spatial_val", "spatial_test", "buffer")
Method = Literal["official", "random"]
REMAKE = "dvc repro split"


def assign_roles(
    *,
    official: list[str | None],
    lonlat: Float[Tensor, "n 2"],
    method: Method,
    val: float,
    test: float,
    spatial_val: float,
    spatial_test: float,
    block_degrees: float,
    buffer_km: float,
    seed: int,
) -> list[str]:
    """The role of every observation.

    `official` takes the source's own split. `random` holds out whole ``block_degrees`` cells until the shares
    ``spatial_val`` and ``spatial_test`` of the rows are reached, sets aside as `buffer` the other rows nearer than
    ``buffer_km`` to a cell held out, and divides the rest at random: ``val`` and ``test`` are shares of that rest.
    Rows without a position are never in a spatial role, nor in the buffer.
    """
    if method == "official":
        for row, role in enumerate(official):
            if role not in ROLES:
                raise DataError(
                    f"row {row} of observations.parquet has the official split {role!r}, not one of {', '.join(ROLES)}",
                    hint="set split.method to random in params.yaml",
                )
        return [str(role) for role in official]
    n = len(official)
    roles = np.full(n, "train", dtype=object)
    free = np.ones(n, dtype=bool)
    located = ~lonlat.isnan().any(1).numpy()
    if spatial_val + spatial_test > 0 and located.any():
        cell = np.full(n, -1)
        cell[located] = blocks(lonlat[torch.from_numpy(located)], block_degrees).numpy()
        order = numpy_stream(seed, "split", "blocks").permutation(np.unique(cell[located]))
        sizes = np.array([(cell == one).sum() for one in order]).cumsum() / n
        for role, low, high in (("spatial_val", 0, spatial_val), ("spatial_test", spatial_val, spatial_val + spatial_test)):
            inside = np.isin(cell, order[(sizes > low) & (sizes <= high)])
            roles[inside], free[inside] = role, False
        held_out = torch.from_numpy(np.unique(cell[~free]))
        beside = free & located
        beside[beside] = near_blocks(lonlat[torch.from_numpy(beside)], held_out, block_degrees, km=buffer_km).numpy()
        roles[beside], free[beside] = "buffer", False
    rest = numpy_stream(seed, "split", "random").permutation(np.flatnonzero(free))
    n_val, n_test = round(val * len(rest)), round(test * len(rest))
    roles[rest[:n_val]] = "val"
    roles[rest[n_val : n_val + n_test]] = "test"
    return [str(role) for role in roles]


def few_shot_levels(
    label: Int[Tensor, "n"], train: Bool[Tensor, "n"], *, ratios: tuple[float, ...], seed: int
) -> Float[Tensor, "n"]:
    """The smallest label ratio at which each row lends its label to fine-tuning; nan for never.

    Stratified: of a class with m labelled training rows, max(1, round(m ratio)) are chosen (halves up), at random by
    ``seed``. Nested by construction: the rows of ratio r are those whose level is at most r.
    """
    levels = torch.full((len(label),), float("nan"))
    stream = numpy_stream(seed, "few-shot")
    labels, can_lend = label.numpy(), train.numpy() & (label.numpy() >= 0)
    for one in np.unique(labels[can_lend]):
        rows = stream.permutation(np.flatnonzero(can_lend & (labels == one)))
        for ratio in sorted(ratios, reverse=True):
            levels[torch.from_numpy(rows[: max(1, int(np.floor(round(len(rows) * ratio + 0.5, 9))))])] = ratio
    return levels


def read_roles(folder: Path, obs_id: list[str]) -> dict[str, Bool[Tensor, "n"]]:
    """A mask for each role; DataError when the file speaks of other observations."""
    table = _read(folder / "roles.parquet", obs_id)
    role = table["role"].to_numpy()
    masks = {name: torch.from_numpy(role == name) for name in ROLES}
    if int(torch.stack(list(masks.values())).sum()) != len(obs_id):
        raise DataError(f"{folder / 'roles.parquet'} holds a role that is not one of {', '.join(ROLES)}", hint=REMAKE)
    if not masks["train"].any():
        raise DataError(f"{folder / 'roles.parquet'} has no training row", hint="change split in params.yaml")
    return masks


def read_few_shot(folder: Path, obs_id: list[str], *, seed: int, ratio: float) -> Bool[Tensor, "n"]:
    """Which rows lend their label at one seed and label ratio; DataError when there is none."""
    table = _read(folder / "few_shot.parquet", obs_id)
    level = table[f"seed_{seed}"].fill_null(np.inf).to_numpy()
    chosen = torch.from_numpy(level <= np.float32(ratio))
    if not chosen.any():
        raise DataError(f"{folder / 'few_shot.parquet'} has no labelled row for seed {seed} at ratio {ratio:g}", hint=REMAKE)
    return chosen


def ratio_key(ratio: float) -> str:
    """The name of a label ratio in files and metrics: `label_5` for 0.05, `label_0p5` for 0.005 (no dots)."""
    return f"label_{f'{100 * ratio:.6g}'.replace('.', 'p')}"


def _read(file: Path, obs_id: list[str]) -> pa.Table:
    table = pq.read_table(file)
    if table["obs_id"].to_pylist() != obs_id:
        raise DataError(f"{file} speaks of other observations than the catalogue", hint=REMAKE)
    return table
