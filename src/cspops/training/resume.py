"""Where a long stage keeps its progress, so that a killed run continues and ends with the same numbers."""

import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from cspops.files import whole
from cspops.ranks import ALONE, Processes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resume:
    """A folder of named snapshots, each one file of torch.save that appears whole or not at all.

    The folder belongs to one combination of params and inputs (the stage sees to that) and is deleted when the
    stage has written its outputs.
    """

    folder: Path

    def load(self, name: str, processes: Processes = ALONE) -> dict[str, Any] | None:
        """Return what a snapshot holds, tensors on the CPU; None when there is none, or none that can be read.

        Of several processes the first one reads it for all: the others may have another disk.
        """
        file = self.file(name)
        if processes.size > 1:
            content = processes.told(file.read_bytes() if processes.first and file.is_file() else None)
            source: Path | BytesIO | None = None if content is None else BytesIO(content)
        else:
            source = file if file.is_file() else None
        if source is None:
            return None
        try:
            with zipfile.ZipFile(source) as written:  # torch does not compare the checksums that it writes
                if damaged := written.testzip():
                    raise zipfile.BadZipFile(damaged)
            if isinstance(source, BytesIO):
                source.seek(0)
            state: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise TypeError
        except Exception as error:  # an unpickler may raise anything at bytes that are no pickle
            log.warning(f"{file} cannot be read ({type(error).__name__}): {name} begins anew")
            return None
        return state

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Replace a snapshot by tables and lists of tensors, numbers and text."""
        with whole(self.file(name)) as new:
            torch.save(dict(state), new)

    def file(self, name: str) -> Path:
        """Return the path of a snapshot."""
        return self.folder / f"{name}.pt"
