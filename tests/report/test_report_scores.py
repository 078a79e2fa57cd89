"""The parts of the page on accuracy."""

import pytest

from cspops.evaluation.metrics import MODELS
from cspops.report.scores import calibration_models


@pytest.mark.parametrize(("scored", "shown"), [(MODELS, []), ((*MODELS, "fusion"), ["fusion"])])
def test_the_fusion_is_calibrated_beside_the_others_where_it_was_trained(scored: tuple[str, ...], shown: list[str]) -> None:
    metrics = {"test": {"label_5": {model: {"ece": {"mean": 1.0, "sd": 0.0}} for model in scored}}}
    assert calibration_models(metrics) == ["image", "combined", "pool", *shown]
