"""report: report.html, report.md and their figures, tables for `dvc plots`, and run.json."""

from typing import TYPE_CHECKING

from cspops.pipeline import code
from cspops.report import figures
from cspops.report.draw import markdown_page, material, training_losses, validation_losses
from cspops.report.html_page import html
from cspops.report.mistakes import write_confusion
from cspops.report.page import write_accuracy
from cspops.report.run_record import RunRecord
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import ReportView


def run(view: "ReportView", site: Site) -> None:
    """Draw the figures and write both pages under reports/, confusion.tsv, and what was run."""
    of = material(view, site)
    figures.accuracy_by_ratio(of.scores.metrics, site.reports / "figures" / "accuracy.png")
    drawn = {title: training_losses(curve) for title, curve in of.curves.items()}
    drawn["image classifier, validation"] = validation_losses(of.curves["image classifier"])
    figures.loss_curves(drawn, site.reports / "figures" / "curves.png")
    write_accuracy(site.reports / "accuracy.tsv", of.scores.metrics)
    write_confusion(site.out / "confusion.tsv", of.judged[of.largest], of.observations.classes)
    (site.reports / "report.md").write_text(markdown_page(of), encoding="utf-8")
    (site.reports / "report.html").write_text(html(of, site), encoding="utf-8")
    record = RunRecord.of(of.records, code.noted(), (site.reports_of_project / "metrics.json").read_bytes())
    (site.reports / "run.json").write_text(record.text)
