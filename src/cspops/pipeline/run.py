"""Run a stage in the workspace: code, params and inputs are checked, and its folder appears when it is whole."""

import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from cspops.errors import EnvironmentProblem

if TYPE_CHECKING:
    from cspops.host import Host
    from cspops.params import Params

log = logging.getLogger(__name__)


def read_params() -> "Params":
    from cspops import params
    from cspops.pipeline import paths

    return params.load(paths.PARAMS)


def read_host() -> "Host":
    from pydantic import ValidationError

    from cspops.host import Host, unknown_variables

    for sentence in unknown_variables():
        log.warning(sentence)
    try:
        return Host()
    except ValidationError as error:
        first = error.errors()[0]
        name, why = f"CSPOPS_{first['loc'][0]}".upper(), first["msg"].removeprefix("Value error, ")
        right = first.get("ctx", {}).get("expected", "another value")
        raise EnvironmentProblem(f"{name}={first['input']}: {why}", hint=f"set it to {right}, or unset {name}") from None


def run_stage(stage: str) -> None:
    """Check code, params and inputs, let `cspops.pipeline.STAGE.run` fill a new folder, and put it in place.

    A stage that trains, or judges many rows, runs in all processes that CSPOPS_NPROC and CSPOPS_NNODES ask for. On other
    machines than the first the command lends its processes, and writes nothing.

    One of several jobs that share the work of stage featurize (`host.Job`) leaves its share in the progress of the stage
    instead. The process that DVC runs never does: it makes what is left, and the folder.
    """
    import importlib

    from cspops import numerics

    numerics.settle()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost connection is told in a sentence of ours
    from cspops import params
    from cspops.pipeline import code, paths
    from cspops.pipeline.together import enough, run_on, works_together
    from cspops.site import Site

    code.require(stage)
    checked, host = read_params(), read_host()
    view: Any = params.view(checked, params.VIEWS[stage])
    together = works_together(view)
    nodes, size = host.nodes(), host.processes() if together else 1
    device, _ = host.torch_device(), host.decoders(by_path=False)  # nonsense is refused before inputs are looked for
    if stage == "featurize" and "DVC_STAGE" not in os.environ and host.job().world > 1:
        _make_share(stage, checked, view, host)
        return
    if nodes.rank and not together:
        log.info(f"{stage}: with these params the first node does it alone")
        return
    with ExitStack() as stack:
        if nodes.rank:
            from cspops.training.nodes import await_first

            await_first(nodes)  # its inputs may be made meanwhile
        inputs = paths.require(stage, checked)
        if nodes.count == 1 and not enough(stage, inputs, size):
            size = 1
        total = size * nodes.count if together else 1
        facts: dict[str, Any] = {
            "stage": stage,
            "params": params.recorded(checked, stage),
            "numerics": numerics.facts(device),
        }
        log.debug(f"device: {host.device} (CSPOPS_DEVICE)")
        for folder in inputs.values():
            log.debug(f"reads: {folder}")
        module = importlib.import_module(f"cspops.pipeline.{stage.replace('-', '_')}")
        if not nodes.rank:
            stack.enter_context(paths.alone_at(stage))
        met = None
        if total > size:
            from cspops.training.nodes import meeting

            met = stack.enter_context(meeting(nodes, _in_common(stage, checked, size)))
        if nodes.rank:
            with paths.scratch(stage, checked, node=nodes.rank) as scratch:
                run_on(size, stage, view, Site(paths.RAW, inputs, paths.REPORTS, scratch, scratch, host), met)
            log.info(f"{stage}: done; the first node has written it")
            return
        facts |= {"processes": total} if total > 1 and stage != "evaluate" else {}  # they move the last bits of training
        with paths.scratch(stage, checked) as scratch, paths.whole_folder(paths.folder_of(stage), facts) as out:
            site = Site(paths.RAW, inputs, paths.REPORTS, out, scratch, host)
            if total > 1:
                run_on(size, stage, view, site, met)
            else:
                module.run(view, site)
        paths.publish(paths.folder_of(stage))


def _make_share(stage: str, checked: "Params", view: Any, host: "Host") -> None:
    """Compute this job's share of the image features."""
    from cspops.pipeline import featurize, paths
    from cspops.site import Site

    inputs, progress = paths.require(stage, checked), paths.progress_of(stage, checked)
    for other in paths.progress_besides(progress, stage):
        log.warning(f"{other} is of jobs with another catalogue, image network, code or CSPOPS_PORTABLE: nothing is shared")
    featurize.share(view, Site(paths.RAW, inputs, paths.REPORTS, progress, progress, host))


def _in_common(stage: str, checked: "Params", size: int) -> dict[str, str]:
    """Return what all nodes must have in common, by the name that a message gives it."""
    import torch

    from cspops import numerics, params
    from cspops.pipeline import code, paths

    def short(value: Any) -> str:
        return paths.key_of(value)

    return {
        "the stage": stage,
        "params.yaml": short(params.recorded(checked, stage)),
        "the code of cspops": code.package().digest(stage),
        "inputs (the files of earlier stages)": short(paths.input_hashes(stage)),
        "CSPOPS_NPROC": str(size),
        "the version of torch": torch.__version__.partition("+")[0],
        "CSPOPS_PORTABLE": str(numerics.portable()),
    }
