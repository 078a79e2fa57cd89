"""What the names in scores.json mean."""

import pytest

from cspops.data.splits import ratio_key
from cspops.evaluation.results import ratio_of


@pytest.mark.parametrize("ratio", [0.00005, 0.005, 0.05, 0.2, 0.333333, 1.0])
def test_the_name_of_a_label_ratio_is_read_back(ratio: float) -> None:
    assert ratio_of(ratio_key(ratio)) == pytest.approx(ratio)


@pytest.mark.parametrize("name", ["seed_0", "label_", "label_5.5", "label_p5", "xlabel_5", "label_5\n"])
def test_another_name_is_no_label_ratio(name: str) -> None:
    with pytest.raises(ValueError, match="names no label ratio"):
        ratio_of(name)
