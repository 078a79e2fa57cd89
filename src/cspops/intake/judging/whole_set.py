"""What only the whole set shows: the same image twice, and axes that look exchanged."""

from typing import NamedTuple

import numpy as np

from cspops.climate_raster import HEIGHT, PER_DEGREE, SEA, WIDTH, codes
from cspops.intake.judging.labels import OFFICIAL

AGAIN = "the same image bytes as another row"
LEAKAGE = "the same image bytes as another row, in another split (leakage)"
CONTRADICTION = "the same image bytes as another row, under another label"

PRECEDENCE = ("test", "spatial_test", "val", "spatial_val", "train")
"""Whose row stays: a held-out row that is lost makes the report poorer, a training row hardly."""


class Duplicates(NamedTuple):
    """The rows that repeat an image, and of each the row that it repeats."""

    again: np.ndarray
    leakage: np.ndarray
    contradiction: np.ndarray
    """Masks, no row in two of them. Of rows under several labels none stays."""
    other: np.ndarray
    """The row that stays, or the first one under another label; -1 for all other rows."""


def find_duplicates(
    image: np.ndarray, crop: np.ndarray, *, label: np.ndarray, role: np.ndarray, located: np.ndarray, candidate: np.ndarray
) -> Duplicates:
    """Find rows with the same image and crop.

    One of them stays: by its official role (`PRECEDENCE`, then none), then one with a label, then one with a position,
    then the first. A row without a label contradicts none, but goes with rows that do.

    Args:
        image: (n,) a number for each image's bytes, -1 where they are not known.
        crop: (n, 4) pixels.
        label: (n,) number of the class, -1 for none.
        role: (n,) index in `OFFICIAL`, -1 for none.
        located: (n,) mask.
        candidate: (n,) mask of the rows that are looked at.
    """
    n = len(image)
    repeats = Duplicates(np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool), np.full(n, -1, np.int64))
    rows = np.flatnonzero(candidate & (image >= 0))
    rows = rows[np.bincount(image[rows])[image[rows]] > 1]
    if not len(rows):
        return repeats
    rank = np.array([PRECEDENCE.index(name) for name in OFFICIAL] + [len(OFFICIAL)])[role]  # role -1 takes the last
    same = (*crop[rows].T, image[rows])
    order = np.lexsort((rows, ~located[rows], label[rows] < 0, rank[rows], *same))
    rows = rows[order]
    key = np.stack(same)[:, order]
    group = np.concatenate(([0], (key[:, 1:] != key[:, :-1]).any(0).cumsum()))
    best = rows[np.concatenate(([True], group[1:] != group[:-1]))][group]

    # The first labelled row of each group, in the order of the rows, and the first that contradicts it.
    groups = group[-1] + 1
    nowhere = n

    def first_of(which: np.ndarray) -> np.ndarray:
        first = np.full(groups, nowhere)
        np.minimum.at(first, group[which], rows[which])
        return first[group]

    labelled = label[rows] >= 0
    first = first_of(labelled)
    of_first = np.append(label, -1)[first]
    against = first_of(labelled & (label[rows] != of_first))
    bad = against < nowhere
    repeats.contradiction[rows[bad]] = True
    repeats.other[rows[bad]] = np.where(label[rows] == of_first, against, first)[bad]

    extra = ~bad & (rows != best)
    leaks = extra & (role[rows] >= 0) & (role[rows] != role[best])
    repeats.leakage[rows[leaks]] = True
    repeats.again[rows[extra & ~leaks]] = True
    repeats.other[rows[extra]] = best[extra]
    return repeats


IMPOSSIBLE = 0.05
"""Share of the given positions."""
SLIPS = 2
"""Rows that may be mistakes of their own however small the set is."""
BEYOND = 0.01
"""Share of the positions east or west of 90 degrees: exchanged they would not be positions, which is evidence against (b)."""
PLACES = 10
"""Positions that (a) needs, and pixels of the raster (3 km) that (b) needs, where many rows at one place are one."""
LITTLE = 0.8
MOST = 0.9


def look_exchanged(lon: np.ndarray, lat: np.ndarray, *, given: int, exchangeable: int, columns: str = "") -> str | None:
    """Return a warning with the evidence that longitude and latitude look exchanged, or None.

    Args:
        lon: (n,) degrees in [-180, 180), of the rows whose position can be one.
        lat: (n,) degrees.
        given: number of the rows that give a position, right or wrong.
        exchangeable: number of those whose latitude cannot be one although it could be a longitude, and vice versa.
        columns: where params.yaml names their columns; empty where they come from no columns.
    """
    remedy = f"if so, exchange lon and lat in {columns} of params.yaml" if columns else "if so, correct them where they stand"
    if given >= PLACES and exchangeable > SLIPS and exchangeable / given >= IMPOSSIBLE:
        return (
            f"latitude and longitude look exchanged: {exchangeable} of {given} positions ({exchangeable / given:.1%}) have a "
            f"latitude outside [-90, 90] that could be their longitude; {remedy}"
        )
    beyond = np.abs(lon) > 90
    if len(lon) < PLACES or beyond.mean() > BEYOND:
        return None
    lon, lat = lon[~beyond], lat[~beyond]
    places = np.unique(_pixel(lon, lat), return_index=True)[1]
    if len(places) < PLACES:
        return None
    lon, lat, zones = lon[places], lat[places], codes().ravel()
    as_given, exchanged = (float((zones[pixel] != SEA).mean()) for pixel in (_pixel(lon, lat), _pixel(lat, lon)))
    if as_given > LITTLE or exchanged < MOST:
        return None
    return (
        f"latitude and longitude look exchanged: {as_given:.0%} of {len(places)} places lie on land as given, {exchanged:.0%} "
        f"when exchanged (of images taken at sea that says nothing); {remedy}"
    )


def _pixel(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return the number of the raster's pixel that each position lies in, row by row."""
    row = np.minimum(((90 - lat) * PER_DEGREE).astype(np.int64), HEIGHT - 1)
    return row * WIDTH + ((lon + 180) * PER_DEGREE).astype(np.int64)
