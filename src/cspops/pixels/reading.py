"""How the images of a set are read."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


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
        """For images.json."""
        return asdict(self)


def image_root(reading: Reading, *, raw: Path, data_root: Path) -> Path:
    """The folder below which a set's image paths lie."""
    return (raw if reading.root == "data" else data_root) / reading.folder
