"""Run a stage in the workspace: code, params and inputs are checked, and its folder appears when it is whole."""

import logging
import os
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
        raise EnvironmentProblem(f"{name}={first['input']}: {why}", hint=f"set it to another value, or unset {name}") from None


def run_stage(stage: str) -> None:
    """Check code, params and inputs, let `cspops.pipeline.STAGE.run` fill a new folder, and put it in place.

    One of several jobs that share the work of stage featurize (`host.Job`) leaves its share in the progress of the stage
    instead. The process that DVC runs never does: it makes what is left, and the folder.
    """
    import importlib

    from cspops import numerics

    numerics.settle()
    from cspops import params
    from cspops.pipeline import code, paths
    from cspops.site import Site

    code.require(stage)
    checked = read_params()
    inputs = paths.require(stage, checked)
    host = read_host()
    facts = {"stage": stage, "params": params.recorded(checked, stage), "numerics": numerics.facts(host.torch_device())}
    log.debug(f"device: {host.device} (CSPOPS_DEVICE)")
    for folder in inputs.values():
        log.debug(f"reads: {folder}")
    module = importlib.import_module(f"cspops.pipeline.{stage.replace('-', '_')}")
    view: Any = params.view(checked, params.VIEWS[stage])
    if stage == "featurize" and "DVC_STAGE" not in os.environ and host.job().world > 1:
        from cspops.pipeline import featurize

        progress = paths.progress_of(stage, checked)
        for other in paths.progress_besides(progress, stage):
            log.warning(f"{other} is of jobs with another catalogue, image network, code or CSPOPS_PORTABLE: nothing is shared")
        featurize.share(view, Site(paths.RAW, inputs, paths.REPORTS, progress, progress, host))
        return
    with paths.alone_at(stage):
        with paths.scratch(stage, checked) as scratch, paths.whole_folder(paths.folder_of(stage), facts) as out:
            site = Site(paths.RAW, inputs, paths.REPORTS, out, scratch, host)
            module.run(view, site)
        paths.publish(paths.folder_of(stage))
