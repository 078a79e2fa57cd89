"""Which images a model has seen: those of its run's catalogue, known again by their bytes."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.artefacts import whole_parquet
from cspops.data.splits import ROLES, read_roles
from cspops.files import sha256_of

SEEN = ("train", "val", "spatial_val")
"""Roles whose images a model was trained with, or chosen and weighed by."""


def roles_of_images(run: Path | None) -> dict[str, str] | None:
    """Return the role of each image in a run's catalogue by the sha256 of its bytes; of several the one seen most.

    None where the run or its split is not there, or the catalogue knows no image's bytes. DataError where the split is about
    other observations.
    """
    if run is None:
        return None
    catalogue = run / "download" / "observations.parquet"
    if not catalogue.is_file() or not (run / "split" / "roles.parquet").is_file():
        return None
    with whole_parquet(catalogue, remake="dvc repro download"), pq.ParquetFile(catalogue) as file:
        ids: list[str] = file.read(["obs_id"])["obs_id"].to_pylist()
        hashes = list(_hashes(file))
    masks = read_roles(run / "split", ids)
    roles: dict[str, str] = {}
    for role in (*(one for one in reversed(ROLES) if one not in SEEN), *reversed(SEEN)):
        roles |= dict.fromkeys((hashes[row] or "" for row in masks[role].nonzero()[:, 0].tolist()), role)
    roles.pop("", None)
    return roles or None


def _hashes(file: pq.ParquetFile) -> Iterator[str | None]:
    """Yield the sha256 of each row's image: as it was taken in, else of the bytes that stand in the catalogue."""
    noted = "image_sha256" in file.schema_arrow.names
    for group in range(file.num_row_groups):
        if noted:
            yield from file.read_row_group(group, columns=["image_sha256"])["image_sha256"].to_pylist()
        else:
            content = pc.struct_field(file.read_row_group(group, columns=["image"])["image"], "bytes")
            yield from (hashlib.sha256(one.as_buffer()).hexdigest() if one.is_valid else None for one in content)


def role_of(image: bytes | Path | None, roles: Mapping[str, str]) -> str | None:
    """Return the role of an image, None where it is none of the run's or cannot be read."""
    if image is None:
        return None
    try:
        return roles.get(sha256_of(image) if isinstance(image, Path) else hashlib.sha256(image).hexdigest())
    except OSError:
        return None
