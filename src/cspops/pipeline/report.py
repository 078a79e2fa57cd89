"""Stage report: report.html, report.md and their figures, tables for `dvc plots`, and run.json."""

from typing import TYPE_CHECKING

from cspops.gair.score_maps import load_score_maps
from cspops.pipeline import code, paths
from cspops.report import figures
from cspops.report.html_page import html
from cspops.report.machine import of_run
from cspops.report.material import read_material
from cspops.report.mistakes import write_confusion
from cspops.report.page import MEANINGS, page, write_accuracy
from cspops.report.photo_and_overhead import OVERHEAD_MAPS, draw_maps
from cspops.report.run_record import RunRecord
from cspops.site import Site
from cspops.training.loop import Curve

if TYPE_CHECKING:
    from cspops.params.graph import ReportView

VALIDATION = "_val_nll"
"""The suffix of the columns of both fine-tunings that are drawn in a panel of their own."""


def run(view: "ReportView", site: Site) -> None:
    """Draw the figures and write both pages under reports/, confusion.tsv, and what was run."""
    material = read_material(view, site, project=project_name())
    metrics = material.scores.metrics
    figures.accuracy_by_ratio(metrics, site.reports / "figures" / "accuracy.png")
    losses = {title: _training_losses(curve) for title, curve in material.curves.items()}
    for title in ("fine-tuning", "image classifier"):
        losses[f"{title}, validation"] = _validation_losses(material.curves[title])
    figures.loss_curves(losses, site.reports / "figures" / "curves.png")
    write_accuracy(site.reports / "accuracy.tsv", metrics)
    write_confusion(site.out / "confusion.tsv", material.judged[material.largest], material.observations.classes)
    maps = load_score_maps(site.inputs["pretrain-img"] / "gair", remake="dvc repro -f pretrain-img")
    if maps is not None:
        draw_maps(maps, site.out / OVERHEAD_MAPS)
    (site.reports / "report.md").write_text(page(material), encoding="utf-8")
    (site.reports / "report.html").write_text(html(material, site), encoding="utf-8")
    metrics_text = (site.reports_of_project / "scores.json").read_bytes()
    numerics = of_run(record["numerics"] for record in material.records.values())
    record = RunRecord.of(material.records, code.noted(), metrics_text, numerics)
    (site.reports / "run.json").write_text(record.text)


def project_name() -> str | None:
    """Return the heading of README.md in a project that `cspops init` made; None elsewhere, and where it has none.

    The folder's name would do but in a clone of another name, or in the folder of a queued experiment.
    """
    if not code.FILE.exists() or not paths.README.is_file():
        return None
    lines = paths.README.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), None) or None


def _training_losses(curve: Curve) -> Curve:
    """Return a curve without the columns that are no training loss."""
    return [{name: value for name, value in row.items() if name not in MEANINGS and "_val_" not in name} for row in curve]


def _validation_losses(curve: Curve) -> Curve:
    """Return the validation losses of a curve, each under the name of its label ratio; no row where it has none."""
    x = next(iter(curve[0]), "") if curve else ""
    rows = [
        {x: row[x]} | {name.removesuffix(VALIDATION): value for name, value in row.items() if name.endswith(VALIDATION)}
        for row in curve
    ]
    return [row for row in rows if len(row) > 1]
