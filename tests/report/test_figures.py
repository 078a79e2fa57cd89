"""Figures of the report."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cspops.report.figures import drawable, loss_curves, save


def test_a_curve_that_ends_early_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    rows = [{"step": 1.0, "label_5": 3.0, "label_100": 3.0}, {"step": 2.0, "label_100": 2.5}]
    whole = [rows[0], rows[1] | {"label_5": 2.0}]
    loss_curves({"fine-tuning": rows}, tmp_path / "early.png")
    loss_curves({"fine-tuning": whole}, tmp_path / "whole.png")
    assert (tmp_path / "early.png").read_bytes() != (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Csa", "Csa"),
        ("Ключ ö", "Ключ ö"),
        ("動物 x", "?? x"),
        ("a\nb", "a b"),
        ("$x^$ $", r"\$x^\$ \$"),
        ("\x1b[1m\u202e", r"\x1b[1m\u202e"),
        ("", ""),
    ],
)
def test_any_name_can_be_drawn(tmp_path: Path, name: str, shown: str) -> None:
    """A glyph that is missing would be a warning, which is an error here, and half a formula an exception."""
    assert drawable(name) == shown
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.1, f"P({drawable(name)} | x)")
    save(figure, tmp_path / "a.png")
