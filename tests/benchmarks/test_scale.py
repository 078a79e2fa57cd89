"""What is measured runs at small sizes, fits find the costs that made them, and what was not measured is marked."""

import json
import sys

import pytest

from benchmarks import cost_model, scale
from benchmarks.cost_model import EMBED, EVALUATE, FINETUNE, PRETRAIN, READ, WRITTEN, Cost, Fit, Here, Point, fits_of, needs_of
from benchmarks.scale import WORK


@pytest.mark.parametrize(
    "point",
    [
        Point(WRITTEN, 5),
        Point(READ, 9),
        Point(PRETRAIN, 6),
        Point(FINETUNE, 8, 12),
        Point(EVALUATE, 12, 5),
        Point(EMBED, 7),
    ],
    ids=lambda point: point.leg,
)
def test_each_piece_of_work_runs(tmp_path, monkeypatch, capsys, point):
    monkeypatch.setattr(scale, "WIDTH", 6)
    monkeypatch.setattr(scale, "LABELLED", 20)
    monkeypatch.setattr(sys, "argv", [])
    prepare, _ = WORK[point.leg]
    prepare(point, tmp_path)
    before = scale.written(tmp_path)
    scale.work(point, str(tmp_path))
    wall, cpu, peak = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert wall > 0 and cpu > 0 and peak >= 0
    assert (scale.written(tmp_path) > before) == (point.leg not in (READ, FINETUNE))


def made(point: Point) -> Cost:
    """The cost of a machine whose seconds and MB are known."""
    n, q = point.rows, point.classes
    wall = {PRETRAIN: 2 + 1e-4 * n / point.ranks, FINETUNE: 1 + 1e-5 * q, EVALUATE: 1 + 1e-3 * n + 1e-7 * n * q}
    peak = {PRETRAIN: 100 + 0.02 * n, FINETUNE: 50 + 0.01 * q, EVALUATE: 80 + 0.002 * n + 0.03 * q}
    cpu = wall.get(point.leg, 0.5 + 1e-5 * n)
    return Cost(2 * cpu, cpu, peak.get(point.leg, 40.0), 4096 * n if point.leg == WRITTEN else 0)


def test_fits_find_the_costs_that_made_them():
    costs = {point: made(point) for point in scale.points_of(10**6, 10**5, (1, 2))}
    fits = fits_of(costs)
    assert all(fit.worst < 1e-6 for fit in fits.values())
    assert fits[PRETRAIN, 2, "s"].factors == pytest.approx({"constant": 2, "rows": 5e-5})
    assert fits[EVALUATE, 1, "s"].factors == pytest.approx(
        {"constant": 1, "rows": 1e-3, "classes": 0, "rows x classes": 1e-7}, abs=1e-9
    )
    assert fits[EMBED, 1, "MB"].at(Point(EMBED, 10**8)) == pytest.approx(40)
    needs = {need.what: need for need in needs_of(costs, fits, Here(memory=10**10, disk=10**12))}
    assert needs["features on disk"].amount == pytest.approx(4096 * 10**8)
    assert needs["pre-training, memory of a process"].share == pytest.approx(0.02e6 * 10**8 / 10**10, rel=1e-3)
    assert needs["pre-training, an epoch, 2 ranks here"].amount == pytest.approx(5e-5 * 10**8 / 3600)
    assert needs["T, its gradient and Adam's two moments"].amount == 10**5 * 256 * 16
    assert needs["evaluation of 1,000,000 rows, memory"].amount == pytest.approx(1e6 * (80 + 2e3 + 3e3))
    assert needs["evaluation of 1,000,000 rows"].amount == pytest.approx((1 + 1e3 + 1e4) / 3600)


def test_a_fit_says_how_far_off_it_is():
    """Of 1, 2 and 6 at 0, 1 and 2 no line is nearer than a share that three relative errors must have."""
    points = [Point(EMBED, n) for n in (0, 1, 2)]
    fit = Fit.of(points, [1.0, 2.0, 6.0], ("rows",))
    assert 0.1 < fit.worst < 0.5
    assert Fit.of(points, [3.0, 2.0, 1.0], ("rows",)).factors["rows"] == 0


def test_ring_messages_of_two_ranks():
    """Half of the rows twice over in B and D, gathered and summed; half of the weights to and fro."""
    weights = 128 * 512 + 512 * 256 + 2048 * 256
    assert cost_model.message_bytes(2, 100) == 4 * (2 * 1.5 * 100 * 256 + weights)


def test_it_prints_what_is_measured_and_marks_what_is_not(tmp_path, monkeypatch, capsys):
    asked: list[Point] = []

    def measured(point: Point) -> Cost:
        asked.append(point)
        return made(point)

    monkeypatch.setattr(scale, "measured", measured)
    scale.main(["--largest", "1000", "--classes", "300", "--ranks", "1", "2", "--out", str(tmp_path / "scale.json")])
    out = capsys.readouterr().out
    table = out[out.index("MEASURED") : out.index("FITTED")].splitlines()[1:-1]
    assert len(table) == len(asked)
    assert max(point.rows for point in asked if point.leg == EMBED) == 1000
    assert {point.ranks for point in asked if point.leg == PRETRAIN} == {1, 2}
    beyond = out[out.index("100,000,000 images, 100,000 classes") :].splitlines()[1:-1]
    assert all(line.endswith(("EXTRAPOLATED", "COMPUTED")) for line in beyond)
    assert out.splitlines()[-1].startswith("binds first: pre-training, memory of a process, ")
    content = json.loads((tmp_path / "scale.json").read_text())
    assert [len(content[name]) for name in ("measured", "fits", "extrapolated")] == [len(asked), 12, len(beyond)]
