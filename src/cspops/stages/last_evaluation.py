"""Not a stage of the graph: what stage evaluate wrote last, by label ratio, by region and by class."""

import math
from typing import Any

from cspops import paths
from cspops.data.json_files import read_json
from cspops.errors import DataError
from cspops.report.tables import percent

REMAKE = "dvc repro evaluate"


def metrics_text() -> str:
    """reports/metrics.json as it lies there; DataError where it does not."""
    file = paths.REPORTS / "metrics.json"
    try:
        return file.read_text()
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=REMAKE) from None


def read(*, label_ratio: float | None = None, by_region: bool = False, by_class: bool = False) -> dict[str, Any]:
    """`metrics`, and `regions` and `per_class` of one label ratio, the largest for None; each by role.

    `metrics` are of every label ratio, or of the one that is named.

    Raises:
        DataError: a file is missing or broken, or has no such label ratio.
    """
    metrics = read_json(paths.REPORTS / "metrics.json", remake=REMAKE)
    ratios = list(dict.fromkeys(key for of_role in metrics.values() for key in of_role)) if isinstance(metrics, dict) else []
    if not ratios:
        raise DataError("reports/metrics.json holds no results", hint=REMAKE)
    near = [key for key in ratios if label_ratio is not None and math.isclose(percent(key), 100 * label_ratio, rel_tol=1e-5)]
    if label_ratio is not None and not near:
        has = ", ".join(f"{percent(key) / 100:g}" for key in ratios)
        raise DataError(f"reports/metrics.json has no label ratio {label_ratio:g}: it has {has}", hint=REMAKE)
    asked = near[0] if near else max(ratios, key=percent)
    if near:
        metrics = {role: {asked: found[asked]} for role, found in metrics.items()}
    document: dict[str, Any] = {"label_ratio": percent(asked) / 100, "metrics": metrics}
    if by_region:
        places = read_json(paths.REPORTS / "regions.json", remake=REMAKE)
        document["regions"] = {role: found[asked] for role, found in places.items() if asked in found}
    if by_class:
        from cspops.stages.classes_of_predictions import classes_of_predictions

        classes = read_json(paths.folder_of("download") / "classes.json", remake=REMAKE)
        document["per_class"] = classes_of_predictions(paths.folder_of("evaluate") / "predictions.parquet", asked, classes)
    return document
