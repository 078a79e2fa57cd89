"""Image features F*(I): one float16 memory map, row i is observation i of the catalogue."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cspops.artefacts import json_as
from cspops.errors import DataError

REMAKE = "dvc repro featurize"


def fingerprint(obs_id: Sequence[str]) -> str:
    """Return sha256 of the observation ids in their order."""
    return hashlib.sha256("\n".join(obs_id).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureFile:
    """A matrix of image features: features.npy, with features.json beside it."""

    folder: Path

    def create(self, obs_id: Sequence[str], width: int) -> np.memmap:
        """Make (or re-open, when it was made for the same rows) the matrix for writing."""
        about = {"rows": len(obs_id), "width": width, "dtype": "float16", "fingerprint": fingerprint(obs_id)}
        if self._json.is_file() and json.loads(self._json.read_text()) == about and self._npy.is_file():
            return np.lib.format.open_memmap(self._npy, mode="r+")
        matrix = np.lib.format.open_memmap(self._npy, mode="w+", dtype=np.float16, shape=(len(obs_id), width))
        self._json.write_text(json.dumps(about, indent=1) + "\n")
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
