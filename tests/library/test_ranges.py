"""Thresholds chosen on the validation rows of a run."""

import numpy as np
import pytest
import torch
from location_runs import CLASSES, write_run, write_validation

import cspops
from cspops.data.dates import day_share
from cspops.errors import DataError
from cspops.evaluation.thresholds import Rule
from cspops.library.ranges import choose_threshold

NAN = float("nan")
LONLAT = [[0.0, 0.0], [8.2, 47.1], [9.1, 47.9], [8.0, 46.0], [-70.2, -33.0], [-60.0, -30.0], [NAN, NAN], [8.1, 47.0]]
LABEL = [0, 2, 0, 2, 1, 1, 2, -1]
VAL = [1, 2, 3, 4, 5]
"""Rows of role val with a position and a label."""


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "artifacts")
    write_validation(tmp_path / "artifacts", LONLAT, LABEL)
    return tmp_path


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_the_threshold_is_chosen_on_labelled_validation_rows_with_a_position(run, learned, name):
    model, number = cspops.load(run), CLASSES.index(name)
    present = np.array([LABEL[row] == number for row in VAL])
    at = np.array([LONLAT[row] for row in VAL])
    if learned:
        p = model.predict_proba(lonlat=at, combine="location")[:, number]
    else:
        p = model.place_log_p(as_tensor(at)).exp()[:, number].numpy()
    chosen = choose_threshold(model, run, number, Rule.of("lpt"), learned=learned)
    assert chosen.threshold.value == pytest.approx(p[present].min())
    assert (chosen.rows, chosen.presences) == (5, present.sum())
    said = p >= chosen.threshold.value - 1e-12
    assert chosen.threshold.precision == pytest.approx((said & present).sum() / said.sum())


def test_the_threshold_of_a_map_of_a_day_is_chosen_at_the_dates_of_the_rows(tmp_path):
    write_run(tmp_path / "artifacts", dated=True)
    write_validation(tmp_path / "artifacts", LONLAT, LABEL, captured_at=["2024-06-15"] * 4 + ["2024-12-24"] * 4)
    model, chosen = cspops.load(tmp_path), {}
    for dated in (False, True):
        chosen[dated] = choose_threshold(model, tmp_path, 2, Rule.of("lpt"), learned=True, dated=dated)
    at, when = as_tensor(np.array(LONLAT)), [day_share("2024-06-15")] * 4 + [day_share("2024-12-24")] * 4
    present = [row for row in VAL if LABEL[row] == 2]
    for dated, found in chosen.items():
        p = model.location_log_p(at, torch.tensor(when, dtype=torch.float64) if dated else None).exp()[:, 2]
        assert found.threshold.value == pytest.approx(p[present].min().item())
    assert chosen[False].threshold.value != chosen[True].threshold.value


def as_tensor(values):
    return torch.from_numpy(values)


def test_what_has_no_validation_rows_of_the_class_is_refused(run, tmp_path):
    model = cspops.load(run)
    with pytest.raises(DataError, match="has no validation rows to choose a threshold on"):
        choose_threshold(model, tmp_path / "elsewhere", 0, Rule.of("f1"), learned=False)
    other = tmp_path / "other"
    write_run(other / "artifacts")
    write_validation(other / "artifacts", LONLAT, [0, 2, 2, 2, 2, 2, 1, -1])
    with pytest.raises(DataError, match="none of the 5 validation rows with a position is of the class 'fir'"):
        choose_threshold(cspops.load(other), other, 1, Rule.of("f1"), learned=False)
