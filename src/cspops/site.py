"""What every stage gets besides its params: where to read, where to write, where it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cspops.host import Host
    from cspops.ranks import Processes


@dataclass(frozen=True)
class Site:
    """The folders and the host of one run of a stage."""

    raw: Path
    """The raw inputs that data.dvc brings."""
    inputs: Mapping[str, Path]
    """The folders of the stages that this one reads, by name."""
    reports_of_project: Path
    """reports/, as earlier stages left it."""
    out: Path
    """A new folder for the outputs; what is written under `reports/` in it ends in the project's reports/."""
    scratch: Path
    """Progress that outlives a kill, deleted when the stage has ended well."""
    host: "Host"
    shared_by: "Processes | None" = None
    """None for one alone."""

    @property
    def processes(self) -> "Processes":
        """Those that run the stage together. The first one's ``out`` is kept, and its progress in ``scratch``."""
        from cspops.ranks import ALONE

        return self.shared_by or ALONE

    @property
    def reports(self) -> Path:
        """The part of ``out`` that is published; made on first use."""
        folder = self.out / "reports"
        folder.mkdir(exist_ok=True)
        return folder
