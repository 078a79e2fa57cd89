"""Figures of the report."""

from pathlib import Path

from cspops.report.figures import loss_curves


def test_a_curve_that_ends_early_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    rows = [{"step": 1.0, "label_5": 3.0, "label_100": 3.0}, {"step": 2.0, "label_100": 2.5}]
    whole = [rows[0], rows[1] | {"label_5": 2.0}]
    loss_curves({"fine-tuning": rows}, tmp_path / "early.png")
    loss_curves({"fine-tuning": whole}, tmp_path / "whole.png")
    assert (tmp_path / "early.png").read_bytes() != (tmp_path / "whole.png").read_bytes()
