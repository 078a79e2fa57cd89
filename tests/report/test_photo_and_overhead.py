"""The section on GAIR's retrieval: its numbers beside chance, and nothing where another method ran."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cspops.gair.score_maps import ScoreMaps
from cspops.report.html_parts import Picture, Table
from cspops.report.page import image_section
from cspops.report.photo_and_overhead import NOTHING, draw_maps, html_part, is_gair, section

NOWHERE = Path("nowhere.png")
FOUND = {"r_1": 5.0, "r_5": 32.5, "r_10": 57.5, "median_km": 6707.7}
WITHIN = {"places": 64, "chance_km": 120.4, "r_1": 3.0, "r_5": 12.0, "r_10": 20.0, "median_km": 90.2}
FACTS: dict[str, Any] = {
    "method": "gair",
    "retrieval": {
        "spatial_val": {
            "rows": 40,
            "photo_to_overhead": FOUND,
            "overhead_to_photo": FOUND | {"r_1": 7.5},
            "within_image": WITHIN,
        },
        "spatial_test": {"rows": 8, "photo_to_overhead": FOUND, "overhead_to_photo": FOUND, "within_image": WITHIN},
    },
    "rows": 1300,
    "queue": 150,
    "terms": "photo_to_overhead, overhead_to_place",
}


def test_retrieval_stands_beside_chance() -> None:
    heading, trained, _, table = section(FACTS)
    assert heading == "## Photo and overhead image"
    assert trained.startswith("Trained on 1,300 rows without their labels, by 2 terms: a photo against")
    assert trained.endswith(" The queue held 150 places.")
    lines = table.splitlines()[2:]
    assert lines[0] == "| spatial validation | photo to overhead | 40 | 5.00 | 32.50 | 57.50 | 6,708 |"
    assert lines[1].startswith("| spatial validation | overhead to photo | 40 | 7.50 |")
    assert lines[2] == "| spatial validation | chance | 40 | 2.50 | 12.50 | 25.00 | – |"
    assert (
        lines[3]
        == "| spatial validation | photo to places of its overhead image | 64 of one image | 3.00 | 12.00 | 20.00 | 90 |"
    )
    assert lines[4] == "| spatial validation | chance within the image | 64 of one image | 1.56 | 7.81 | 15.62 | 120 |"
    assert lines[7] == "| spatial test | chance | 8 | 12.50 | 62.50 | 100.00 | – |"


def test_the_page_has_the_same_rows() -> None:
    part = html_part(FACTS, NOWHERE)
    table = part["overhead_table"]
    assert isinstance(table, Table)
    assert [group.title for group in table.groups] == ["Spatial validation set", "Spatial test set"]
    assert list(table.groups[1].rows[2]) == ["chance", "8", "12.50", "62.50", "100.00", "–"]
    assert len(table.header) == len(table.groups[0].rows[0]) == 6


def test_what_was_not_measured_is_said() -> None:
    facts = {"method": "gair", "retrieval": {}, "rows": 30, "queue": 15, "terms": "overhead_to_place"}
    assert "by 1 term: the overhead feature" in section(facts)[1]
    assert section(facts)[-1] == NOTHING
    assert html_part(facts, NOWHERE)["overhead_table"] is None
    assert "queue" not in section(facts | {"terms": "overhead_to_photo"})[1]


@pytest.mark.parametrize("method", ["moco", "none"])
def test_another_method_has_no_such_section(method: str) -> None:
    facts = {"method": method, "knn_km_before": 1.0}
    assert not is_gair(facts)
    assert section(facts) == []
    assert html_part(facts, NOWHERE) == {"overhead_words": [], "overhead_table": None, "overhead_maps": None}


def test_maps_are_drawn_the_same_each_time_and_stand_in_the_page(tmp_path: Path) -> None:
    maps = ScoreMaps(
        torch.full((2, 8, 8, 3), 90, dtype=torch.uint8),
        torch.full((2, 8, 8, 3), 180, dtype=torch.uint8),
        torch.arange(32.0).view(2, 4, 4),
        torch.tensor([[0.25, 0.75], [1.0, 0.0]], dtype=torch.float64),
        torch.tensor([[8.5, 47.4], [-70.0, -33.0]], dtype=torch.float64),
    )
    for name in ("a.png", "b.png"):
        draw_maps(maps, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    shown = html_part(FACTS, tmp_path / "a.png")["overhead_maps"]
    assert isinstance(shown, Picture) and shown.uri.startswith("data:image/png") and "cross" in shown.caption


@pytest.mark.parametrize(("km", "shown"), [(6707.7, "6,708"), (61.63, "62"), (3.14, "3.1"), (0.0211, "0.021")])
def test_short_distances_keep_their_digits(km: float, shown: str) -> None:
    facts = FACTS | {
        "retrieval": {"spatial_test": FACTS["retrieval"]["spatial_test"] | {"photo_to_overhead": FOUND | {"median_km": km}}}
    }
    assert section(facts)[3].splitlines()[2].endswith(f"| {shown} |")


def test_the_section_on_the_image_network_has_the_numbers_alone() -> None:
    said = image_section(FACTS)
    assert said.startswith(
        "Pre-training of the image network: `gair`. `rows` 1300; `queue` 150; `terms` photo_to_overhead, overhead_to_place. "
    )
    assert "{" not in said
    assert "`queue`: the places that were negatives" in said
