"""A stage that trains a network, or judges many rows, runs in several processes; the first one's outputs are the stage's."""

import importlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspops.params.graph import EvaluateView, FinetuneImgView, FinetuneLocView, PretrainImgView, PretrainView
from cspops.params.image_networks import Full
from cspops.params.location_classifiers import FullLoc
from cspops.params.sections import GairLoss, NoLoss
from cspops.site import Site

if TYPE_CHECKING:
    import torch

    from cspops.ranks import Processes
    from cspops.training.nodes import Meeting


def works_together(view: Any) -> bool:
    """Return whether several processes share the work of a stage with this view; another stage is one process's work."""
    match view:
        case EvaluateView():
            return True
        case PretrainImgView():
            return view.method != "none"
        case PretrainView():
            return not isinstance(view.loss_settings, GairLoss | NoLoss)
        case FinetuneLocView():
            return isinstance(view.settings, FullLoc)
        case FinetuneImgView():
            return isinstance(view.settings, Full)
    return False


def enough(stage: str, inputs: Mapping[str, Path], size: int) -> bool:
    """Return whether there is work for ``size`` processes of one machine.

    Stage evaluate works on seeds and label ratios side by side where there are not as many parts of the rows.
    """
    if stage != "evaluate" or size == 1:
        return True
    import pyarrow.parquet as pq

    from cspops.data.catalogue import CLASSES, read_classes
    from cspops.pipeline.evaluate import AT_ONCE

    catalogue = inputs["download"]
    rows: int = pq.read_metadata(catalogue / "observations.parquet").num_rows
    return rows * len(read_classes(catalogue / CLASSES)) > AT_ONCE * (size - 1)


@dataclass(frozen=True)
class _Job:
    """A stage, as sent to processes."""

    stage: str
    view: Any
    site: Site


def run_on(size: int, stage: str, view: Any, site: Site, met: "Meeting | None" = None) -> None:
    """Run a stage in ``size`` processes of this machine, which belong to those of the machines ``met``."""
    from cspops.training.distributed import run_together

    run_together(_run, _Job(stage, view, site), size=size, device=site.host.torch_device(), met=met)


def _run(job: _Job, processes: "Processes", device: "torch.device") -> None:
    module = importlib.import_module(f"cspops.pipeline.{job.stage.replace('-', '_')}")
    with tempfile.TemporaryDirectory(prefix="cspops-") as nowhere:
        out = job.site.out if processes.first else Path(nowhere)
        host = job.site.host.model_copy(update={"device": str(device), "nproc": "1", "nnodes": "1"})
        module.run(job.view, replace(job.site, out=out, host=host, shared_by=processes))
