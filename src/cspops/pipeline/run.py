"""Run a stage in the workspace: code, params and inputs are checked, and its folder appears when it is whole."""

import logging
from typing import TYPE_CHECKING

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

    from cspops.host import Host

    try:
        return Host()
    except ValidationError as error:
        raise EnvironmentProblem(f"a CSPOPS_* variable is wrong: {error.errors()[0]['msg']}") from None


def run_stage(stage: str) -> None:
    """Check code, params and inputs, let `cspops.pipeline.STAGE.run` fill a new folder, and put it in place."""
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
    with paths.alone_at(stage):
        with paths.scratch(stage, checked) as scratch, paths.whole_folder(paths.folder_of(stage), facts) as out:
            site = Site(paths.RAW, inputs, paths.REPORTS, out, scratch, host)
            module.run(params.view(checked, params.VIEWS[stage]), site)
        paths.publish(paths.folder_of(stage))
