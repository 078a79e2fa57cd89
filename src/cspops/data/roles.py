"""The role of each observation: the source's own, or drawn at random, with whole blocks of the map held out."""

import logging

import numpy as np
import pyarrow as pa
import torch

from cspops.data.splits import ROLES
from cspops.errors import DataError
from cspops.geo import blocks, near_blocks
from cspops.params.sections import Split
from cspops.seeds import numpy_stream
from cspops.shapes import Bool, Float, Int, Tensor

log = logging.getLogger(__name__)

TRAIN, VAL, TEST, SPATIAL_VAL, SPATIAL_TEST, BUFFER = range(len(ROLES))
MOST_BUFFER = 0.5
"""No block is held out when its buffer would take a larger share of the other labelled rows."""
RANDOM = "set split.method to random in params.yaml"
FILL = (
    "give them a role in the table's split column, or set split.method to random in params.yaml, which replaces the official "
    "roles"
)


def assign_roles(
    settings: Split,
    *,
    official: list[str | None],
    labelled: Bool[Tensor, "n"],
    lonlat: Float[Tensor, "n 2"],
    location_id: pa.Array | pa.ChunkedArray | None,
    seed: int,
) -> list[str]:
    """Return the role of every observation.

    `official` takes the source's own split; rows without a role and without a label train. Where it has no val, the share
    `val` of its labelled training rows becomes val, at random; where no row has a role, `random` is used.

    `random` holds out whole `block_degrees` cells until the shares `spatial_val` and `spatial_test` of the rows are
    reached, sets aside as `buffer` the other rows nearer than `buffer_km` to a cell held out, and divides the labelled
    ones of the rest at random: `val` and `test` are shares of these, at least one row each. Rows without a label
    train; rows without a position are never in a spatial role, nor in the buffer. No block is held out when the buffer
    would take more than `MOST_BUFFER` of the other labelled rows, or when fewer than three would be left to divide.

    Args:
        settings: `split` of params.yaml: the method and its shares; blocks and, where it is not 0, their buffer.
        official: the source's roles.
        labelled: which rows have a label.
        lonlat: degrees; nan where the position is missing.
        location_id: with it, all rows of a place get one role; a row without an id is a place of its own. A place lies in
            the block that most of its located rows are in (of two the one of the earlier row), is held out, drawn and
            counted whole, and is in the buffer when any of its rows is. None: every row is a place of its own.
        seed: of the draws.
    """
    place = _places(location_id, len(official))
    given = pa.array(official, pa.string())
    has_label = labelled.numpy()
    if settings.method == "official" and given.null_count < len(given):
        roles = _official(given, has_label)
        if location_id is not None:
            _refuse_split_places(roles, place, location_id)
        if not (roles == VAL).any():
            drawn = _draw(place, (roles == TRAIN) & has_label, (settings.val,), numpy_stream(seed, "split", "official val"))[0]
            roles[drawn[place]] = VAL
            log.info(f"the source's split has no val: {(roles == VAL).sum()} of its training rows are taken (split.val)")
        _require_all(roles, has_label, "the source's split has", RANDOM)
    else:
        if settings.method == "official":
            log.info("the source has no split of its own: roles are drawn as with split.method: random")
        roles = np.full(len(given), TRAIN, dtype=np.int8)
        if settings.spatial_val + settings.spatial_test > 0:
            held = _hold_out(place, has_label, lonlat, settings, seed)
            roles[:] = held[place]
        parts = _draw(place, (roles == TRAIN) & has_label, (settings.val, settings.test), numpy_stream(seed, "split", "random"))
        for role, drawn in zip((VAL, TEST), parts, strict=True):
            roles[drawn[place]] = role
        _require_all(roles, has_label, f"of {has_label.sum()} labelled rows, split leaves", _remedy(location_id is not None))
    names: list[str] = np.array(ROLES, dtype=object)[roles].tolist()
    return names


def _places(location_id: pa.Array | pa.ChunkedArray | None, n: int) -> Int[np.ndarray, "n"]:
    """Return the number of each row's place, from 0."""
    if location_id is None:
        return np.arange(n)
    if location_id.null_count == n:
        log.info("no row has a location_id: split.unit: location_id acts as observation does")
    column = location_id.combine_chunks() if isinstance(location_id, pa.ChunkedArray) else location_id
    codes = column.dictionary_encode()
    place: np.ndarray = codes.indices.fill_null(-1).to_numpy().astype(np.int64)
    alone = place < 0
    place[alone] = len(codes.dictionary) + np.arange(alone.sum())
    return place


def _official(given: pa.Array, labelled: Bool[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    codes = given.dictionary_encode(null_encoding="encode")
    kinds = codes.dictionary.to_pylist()
    role_of = np.array([ROLES.index(kind) if kind in ROLES else -1 for kind in kinds], dtype=np.int8)
    indices = codes.indices.to_numpy()
    roles: np.ndarray = role_of[indices]
    without_role = given.is_null().to_numpy(zero_copy_only=False)
    only_seen = without_role & ~labelled
    if only_seen.any():
        roles[only_seen] = TRAIN
        log.info(f"{only_seen.sum()} unlabelled rows without an official split are trained on without labels")
    wrong = np.flatnonzero(roles < 0)
    if len(wrong):
        others = f" (and {len(wrong) - 1} other rows have none of them)" if len(wrong) > 1 else ""
        raise DataError(
            f"row {wrong[0]} of observations.parquet has the official split {kinds[indices[wrong[0]]]!r}, "
            f"not one of {', '.join(ROLES)}{others}",
            hint=FILL,
        )
    return roles


def _refuse_split_places(roles: np.ndarray, place: np.ndarray, location_id: pa.Array | pa.ChunkedArray) -> None:
    numbers, first = np.unique(place, return_index=True)
    first_role = np.empty(len(numbers), dtype=np.int8)
    first_role[numbers] = roles[first]
    other = np.flatnonzero(roles != first_role[place])
    mixed, at = np.unique(place[other], return_index=True)
    if not len(mixed):
        return
    named = [
        f"{location_id[row].as_py()} ({ROLES[first_role[place[row]]]}, {ROLES[roles[row]]})" for row in np.sort(other[at])[:3]
    ]
    raise DataError(
        f"{len(mixed)} of {len(numbers)} places are in two official roles: {', '.join(named)}{' ...' * (len(mixed) > 3)}",
        hint="set split.method to random, or split.unit to observation, in params.yaml",
    )


def _draw(
    place: Int[np.ndarray, "n"], rows: Bool[np.ndarray, "n"], shares: tuple[float, ...], stream: np.random.Generator
) -> list[Bool[np.ndarray, "places"]]:
    """Draw places for each share of ``rows``: at least one, and one place stays.

    In a random order, a place belongs to the share that its middle row falls in.
    """
    size = np.bincount(place, weights=rows, minlength=_count(place)).astype(np.int64)
    order = stream.permutation(np.flatnonzero(size))
    ends = size[order].cumsum()
    total = int(ends[-1]) if len(ends) else 0
    borders = np.cumsum([round(share * total) for share in shares])
    counts = np.diff(np.searchsorted(ends - size[order] / 2, borders), prepend=0)
    counts = np.maximum(counts, [int(share > 0) for share in shares])
    while counts.sum() > max(len(order) - 1, 0):
        counts[counts.argmax()] -= 1
    stops = counts.cumsum()
    return [np.isin(np.arange(len(size)), order[stop - count : stop]) for stop, count in zip(stops, counts, strict=True)]


def _hold_out(
    place: Int[np.ndarray, "n"],
    labelled: Bool[np.ndarray, "n"],
    lonlat: Float[Tensor, "n 2"],
    settings: Split,
    seed: int,
) -> Int[np.ndarray, "places"]:
    """Return TRAIN, SPATIAL_VAL, SPATIAL_TEST or BUFFER for each place."""
    degrees, first, both = settings.block_degrees, settings.spatial_val, settings.spatial_val + settings.spatial_test
    places, n = _count(place), len(place)
    roles = np.full(places, TRAIN, dtype=np.int8)
    located = np.flatnonzero(~lonlat.isnan().any(1).numpy())
    if not len(located):
        return roles
    cell = _home_blocks(place[located], blocks(lonlat[torch.from_numpy(located)], degrees).numpy(), places)
    numbers, inverse = np.unique(cell[cell >= 0], return_inverse=True)
    order = numpy_stream(seed, "split", "blocks").permutation(numbers)
    rows_in = np.bincount(inverse, weights=np.bincount(place, minlength=places)[cell >= 0]).astype(np.int64)
    sizes = rows_in[np.searchsorted(numbers, order)].cumsum() / n
    for role, low, high in ((SPATIAL_VAL, 0.0, first), (SPATIAL_TEST, first, both)):
        roles[np.isin(cell, order[(sizes > low) & (sizes <= high)])] = role
    if not roles.any():
        log.info(f"no block is held out: the first of {len(numbers)} has too many rows (split.block_degrees, split.spatial_*)")
        return roles
    open_rows = located[roles[place[located]] == TRAIN]
    held_out = torch.from_numpy(np.unique(cell[roles != TRAIN]))
    near = near_blocks(lonlat[torch.from_numpy(open_rows)], held_out, degrees, km=settings.buffer_km).numpy()
    roles[place[open_rows[near]]] = BUFFER
    role_of_row = roles[place][labelled]
    others, taken = np.isin(role_of_row, (TRAIN, BUFFER)).sum(), (role_of_row == BUFFER).sum()
    left = len(np.unique(place[labelled & (roles[place] == TRAIN)]))
    if taken > MOST_BUFFER * others or left < 3:
        why = f"the buffer would take {taken} of the other {others} labelled rows" if taken else "too few rows would be left"
        log.info(f"no block is held out: {why} (split.block_degrees, split.buffer_km)")
        roles[:] = TRAIN
    return roles


def _home_blocks(place: Int[np.ndarray, "m"], cell: Int[np.ndarray, "m"], places: int) -> Int[np.ndarray, "places"]:
    """Return the block that most rows of each place are in, of two the one of the earlier row; -1 without rows."""
    width = int(cell.max()) + 1
    pairs, first, count = np.unique(place * width + cell, return_index=True, return_counts=True)
    best = np.lexsort((first, -count, pairs // width))
    numbers, at = np.unique(pairs[best] // width, return_index=True)
    home = np.full(places, -1, dtype=np.int64)
    home[numbers] = pairs[best][at] % width
    return home


def _count(place: np.ndarray) -> int:
    return int(place.max()) + 1 if len(place) else 0


def _remedy(by_place: bool) -> str:
    shares = "lower split.spatial_val, split.spatial_test or split.buffer_km in params.yaml"
    return f"set split.unit to observation, or {shares}" if by_place else f"{shares}, or give more rows a label"


def _require_all(roles: np.ndarray, labelled: np.ndarray, subject: str, hint: str) -> None:
    """Raise DataError when train, val or test has no labelled row."""
    if not labelled.any():
        raise DataError(
            "no observation has a label: nothing can be fine-tuned or tested", hint="cspops data check shows what was read"
        )
    counts = np.bincount(roles[labelled], minlength=len(ROLES))
    for role in (TRAIN, VAL, TEST):
        if not counts[role]:
            what = ", which is what the metrics are of" if role == TEST else ""
            raise DataError(f"{subject} no labelled {ROLES[role]} row{what}", hint=hint)
