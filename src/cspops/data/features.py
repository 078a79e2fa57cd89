"""Image features F*(I): one float16 memory map, row i is observation i of the catalogue."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cspops.artefacts import json_as
from cspops.data import arrays
from cspops.errors import DataError
from cspops.files import write_whole

DTYPE = "float16"

REMAKE = "dvc repro featurize"


def fingerprint(obs_id: Sequence[str]) -> str:
    """Return sha256 of the observation ids in their order."""
    return hashlib.sha256("\n".join(obs_id).encode()).hexdigest()


def _about(obs_id: Sequence[str], width: int) -> dict[str, int | str]:
    return {"rows": len(obs_id), "width": width, "dtype": DTYPE, "fingerprint": fingerprint(obs_id)}


@dataclass(frozen=True)
class FeatureFile:
    """A matrix of image features: features.npy, with features.json beside it."""

    folder: Path

    def begun(self, obs_id: Sequence[str], width: int) -> np.memmap | None:
        """Open the matrix for writing; None unless it was made for the same rows and can be read."""
        try:
            about = json.loads(self._json.read_text())
        except (OSError, ValueError):
            return None
        return arrays.begun(self._npy, (len(obs_id), width), DTYPE) if about == _about(obs_id, width) else None

    def create(self, obs_id: Sequence[str], width: int) -> np.memmap:
        """Make the matrix, all zeros, for writing."""
        matrix = arrays.new(self._npy, (len(obs_id), width), DTYPE)
        write_whole(self._json, json.dumps(_about(obs_id, width), indent=1) + "\n")
        return matrix

    def read(self, obs_id: Sequence[str]) -> np.memmap:
        """Open the matrix (n, k), read-only, after checking that its rows are these observations."""
        about = json_as(self._json, dict[str, Any], remake=REMAKE)
        try:
            matrix = np.lib.format.open_memmap(self._npy, mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self._npy} is broken: {error}", hint=REMAKE) from None
        if about.get("fingerprint") != fingerprint(obs_id) or matrix.shape != (len(obs_id), about.get("width")):
            raise DataError(f"{self._npy} holds the features of other observations", hint=REMAKE)
        return matrix

    @property
    def _npy(self) -> Path:
        return self.folder / "features.npy"

    @property
    def _json(self) -> Path:
        return self.folder / "features.json"
