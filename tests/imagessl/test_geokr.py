"""GeoKR: the loss at the start, the teacher's steps, whom it trains on, and runs that are interrupted."""

import copy
import math
from functools import partial

import pytest
import torch
from interrupted import same_numbers_for_the_same_seed, stopped_and_continued
from unlabelled import CPU, backbone, unlabelled

from cspops.errors import DataError
from cspops.imagessl import geokr as module
from cspops.imagessl.geokr import StudentAndTeacher, geokr
from cspops.imagessl.land_cover import LandCover
from cspops.params.image_networks import Geokr
from cspops.training.loop import Run


def settings(**changes) -> Geokr:
    defaults = {
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.001,
        "reduction": "entries",
        "momentum": 0.95,
        "teacher_update_every": 2,
        "raster": "climate_zones",
        "side_km": 100.0,
        "colour_jitter": 0.1,
        "turns": True,
    }
    return Geokr(**defaults).model_copy(update=changes)


def cover(n: int = 24, classes: int = 4, rows: torch.Tensor | None = None) -> LandCover:
    rows = torch.arange(n) if rows is None else rows
    share = torch.rand(len(rows), classes, generator=torch.Generator().manual_seed(0)).square()
    return LandCover(rows, share / share.sum(1, keepdim=True), tuple(range(classes)), n - len(rows), "Said of it")


def run(n: int = 24, *, network=None, land_cover=None, seed: int = 0, resume=None, **changes):
    network = network or backbone()
    lonlat = torch.stack((torch.arange(n), torch.arange(n)), 1)
    made = geokr(
        network,
        unlabelled(n, lonlat=lonlat),
        settings(**changes),
        Run(seed, CPU, resume),
        land_cover=land_cover or cover(n),
    )
    return network, made


@pytest.mark.parametrize("classes", [16, 31])
def test_the_loss_at_the_start_is_log_of_the_classes_over_their_number(classes):
    """With equal scores it is ln(c) / c (see the loss's test); the heads' first scores s differ by max s - min s a row, and
    log softmax is within that of ln(1 / c). The teacher's part is near it by the same reason."""
    both = StudentAndTeacher(backbone(), classes, settings(), seed=0).train()
    land = cover(24, classes)
    pixels = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = both.loss(pixels, land.share)
        spread = max(float((scores.amax(1) - scores.amin(1)).max()) for scores in (both.student(pixels), both.teacher(pixels)))
    assert spread < math.log(classes)  # else the bound below says nothing
    assert float(parts["land_cover"]) == pytest.approx(math.log(classes) / classes, abs=spread / classes)
    assert float(parts["consistency"]) == pytest.approx(math.log(classes) / classes, abs=spread / classes)
    _, made = run(land_cover=land, epochs=1, learning_rate=1e-9)
    assert made.curve[0]["land_cover"] == pytest.approx(math.log(classes) / classes, rel=0.25)


def test_the_networks_start_alike_and_the_heads_do_not():
    both = StudentAndTeacher(backbone(), 4, settings(), seed=0)
    student, teacher = (list(net.parameters()) for net in (both.student, both.teacher))
    assert all(torch.equal(mine, its) for mine, its in zip(student[:-2], teacher[:-2], strict=True))
    assert not torch.equal(student[-2], teacher[-2])
    assert not any(parameter.requires_grad for parameter in teacher)
    assert all(parameter.requires_grad for parameter in student)


@pytest.mark.parametrize("every", [1, 3])
def test_the_teacher_follows_after_the_first_step_and_then_every_so_many(every):
    """w_t <- 0.95 w_t + 0.05 w_s with a student that moves by 1 a step; step by step, by hand."""
    both = StudentAndTeacher(backbone(), 4, settings(teacher_update_every=every), seed=0)
    student, teacher = both.student[1].bias, both.teacher[1].bias
    expected = teacher.clone()
    for step in range(1, 8):
        with torch.no_grad():
            student.add_(1.0)
        both.after_step()
        if (step - 1) % every == 0:
            expected = 0.95 * expected + 0.05 * student.detach()
        torch.testing.assert_close(teacher, expected)
    assert int(both.steps) == 7


def test_the_teacher_has_batch_statistics_and_no_gradient():
    both = StudentAndTeacher(backbone(), 4, settings(), seed=0).train()
    before = {key: value.clone() for key, value in both.teacher.state_dict().items()}
    both.loss(torch.rand(8, 3, 32, 32), cover(8).share)["total"].backward()
    changed = {key for key, value in both.teacher.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert all("running" in key or "num_batches" in key for key in changed)
    assert all(parameter.grad is None for parameter in both.teacher.parameters())


def test_only_rows_with_land_cover_are_shown_each_with_its_own(monkeypatch):
    """The first column of the shares is the number of the row, as is the first pixel of the image, in 64ths."""
    rows = torch.tensor([1, 4, 5, 9, 12, 13, 20, 23, 2, 7])
    land = LandCover(rows, torch.stack((rows / 64, 1 - rows / 64), 1), (3, 8), 14, "Said of it")
    pixels = (torch.arange(24) * 4)[:, None, None, None].expand(24, 32, 32, 3).to(torch.uint8)
    seen: list[tuple[float, float]] = []
    real = StudentAndTeacher.loss

    def loss(self, shown, share):
        seen.extend(
            zip((shown[:, 0, 0, 0] * 255 / 4).round().int().tolist(), (share[:, 0] * 64).round().int().tolist(), strict=True)
        )
        return real(self, shown, share)

    monkeypatch.setattr(module.StudentAndTeacher, "loss", loss)
    made = geokr(backbone(), unlabelled(pixels), settings(epochs=1, colour_jitter=0.0), Run(0, CPU), land_cover=land)
    assert sorted(seen) == sorted((row, row) for row in rows.tolist())
    assert made.facts == {"classes": 2, "without_land_cover": 14, "note": "Said of it"}


def test_it_learns_the_land_cover_of_images_that_show_it():
    """Images of two colours of two classes: what is left is well below the ln(2) / 2 of not knowing."""
    kind = torch.arange(48) % 2
    noise = torch.rand(48, 32, 32, 3, generator=torch.Generator().manual_seed(0)) * 100
    pixels = (noise + 150 * kind[:, None, None, None]).to(torch.uint8)
    land = LandCover(torch.arange(48), torch.nn.functional.one_hot(kind, 2).float(), (1, 2), 0, "")
    made = geokr(backbone(), unlabelled(pixels), settings(epochs=6, learning_rate=0.003), Run(0, CPU), land_cover=land)
    assert made.curve[-1]["land_cover"] < 0.25 * math.log(2) / 2


def test_columns_mode_of_the_network_and_facts():
    network = backbone()
    before = copy.deepcopy(network.state_dict())
    network, made = run(network=network, epochs=1)
    assert not any(one.training for one in network.modules())
    assert all(not torch.equal(value, before[key]) for key, value in network.named_parameters())
    assert set(network.state_dict()) == set(before)
    assert list(made.curve[0]) == ["epoch", "land_cover", "consistency", "total", "knn_km"]
    assert made.facts.keys() == {"classes", "without_land_cover", "note", "knn_km_before", "knn_km_after"}


def test_same_seed_same_numbers_whatever_the_global_stream():
    same_numbers_for_the_same_seed(run)


def test_an_interrupted_run_ends_bit_identical(tmp_path, monkeypatch):
    """The snapshot holds both networks and the number of steps: 3 an epoch, and the teacher follows every second."""
    line = stopped_and_continued(partial(run, epochs=2), tmp_path, monkeypatch, at="epoch 2 of 2")
    assert "continuing after epoch 1 of 2" in line


def test_one_image_with_land_cover_is_refused():
    with pytest.raises(DataError, match="1 of 24 training images has land cover around it: GeoKR needs at least two"):
        run(land_cover=cover(24, rows=torch.tensor([3])))
