"""Where the images of a set are, and how they are read."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, Field, model_validator

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""As Hugging Face datasets has it: bytes, or a path (with /) below the images' root, or both null."""

CROP = pa.struct([pa.field(side, pa.int32()) for side in ("left", "top", "right", "bottom")])
"""Pixels of the upright image, right and bottom exclusive."""

GIVEN_FEATURES = pa.struct([pa.field("path", pa.string()), pa.field("row", pa.int64())])
"""A row of an .npy matrix of image features below the images' root, instead of an image."""


@dataclass(frozen=True)
class Reading:
    """How the images of a set become 8-bit RGB."""

    root: Literal["data", "data_root"] = "data"
    """Where paths start: the folder that data.dvc brings, or CSPOPS_DATA_ROOT."""
    folder: str = ""
    """A folder below that root, with /."""
    bands: tuple[int, ...] | None = None
    """The three bands (or one, for grey) that become RGB, counted from 1; null: as the file says."""
    black: float = 0.0
    white: float | None = None
    """Values of more than 8 bits from black to white become 0 to 255; white null: the whole range of the file's kind."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for images.json."""
        return asdict(self)


Value = Annotated[float, Field(ge=-1e12, le=1e12)]


class ReadingFacts(BaseModel):
    """What a file must hold of a `Reading`; an export has no paths, and so no root and folder."""

    root: Literal["data", "data_root"] = "data"
    folder: str = ""
    bands: tuple[Annotated[int, Field(ge=1, le=10000)], ...] | None
    black: Value
    white: Value | None

    @model_validator(mode="after")
    def _colours(self) -> "ReadingFacts":
        if self.bands is not None and len(self.bands) not in (1, 3):
            raise ValueError("bands are one or three")
        if self.white is not None and self.white <= self.black:
            raise ValueError("white is not above black")
        return self

    def reading(self) -> Reading:
        """Return it as the decoder takes it."""
        return Reading(**self.model_dump())


def image_root(reading: Reading, *, raw: Path, data_root: Path) -> Path:
    """Return the folder below which a set's image paths lie."""
    return (raw if reading.root == "data" else data_root) / reading.folder
