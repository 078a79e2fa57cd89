"""Not a stage of the graph: a project of `cspops init` follows the cspops that is installed now."""

from importlib.resources import files
from typing import Any

from cspops import params, paths
from cspops.errors import ParamsError
from cspops.stages import project_code


def run(*, dry_run: bool) -> dict[str, Any]:
    """Write cspops.lock anew, and dvc.yaml where it is as it was written; ParamsError where params.yaml does not fit.

    Returns:
        was and now, versions of cspops; `stages`, those whose code is another one, which the next `dvc repro` runs;
        `changed`, the files written; `warnings`.
    """
    before, now = project_code.written(), project_code.installed()
    template = files("cspops").joinpath("template")
    try:
        params.load(paths.PARAMS)
    except ParamsError as error:
        raise ParamsError(
            error.message, hint=f"mend params.yaml; the one that comes with cspops {now.version}: {template / 'params.yaml'}"
        ) from None
    texts, warnings = {}, []
    if before.graph != now.graph or not project_code.GRAPH.is_file():
        if project_code.is_graph_of(before) or not project_code.GRAPH.is_file():
            texts[project_code.GRAPH] = project_code.template("graph.yaml").decode()
        elif not project_code.is_graph_of(now):
            warnings.append(
                f"{project_code.GRAPH} was changed by hand and is kept; the one that comes with cspops {now.version} is "
                f"{template / 'graph.yaml'}"
            )
    if before != now:
        texts[project_code.FILE] = now.text
    if not dry_run:
        for file, text in texts.items():
            paths.write_whole(file, text)
    return {
        "was": before.version,
        "now": now.version,
        "stages": project_code.changed_stages(before, now),
        "changed": [] if dry_run else [str(file) for file in texts],
        "would_change": [str(file) for file in texts],
        "warnings": warnings,
    }
