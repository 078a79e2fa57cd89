"""GAIR's training: the loss at the start, what learns, rows without photos, runs that are interrupted."""

import math

import pytest
import torch
from interrupted import same_numbers_for_the_same_seed, stopped_and_continued
from small_gair import LOCATION, places, settings
from unlabelled import CPU, backbone

from cspops.errors import DataError, ParamsError
from cspops.gair.pretraining import gair
from cspops.losses.gair import TERMS
from cspops.training.loop import Run


def run(n: int = 32, *, photos: bool = True, resume=None, seed: int = 0, **changes):
    alignment, made = gair(backbone(), places(n, photos=photos), settings(**changes), Run(seed, CPU, resume))
    return alignment, made


@pytest.mark.parametrize("queue", [4, 4096])
def test_the_loss_at_the_start_is_that_of_the_candidates_when_the_temperature_is_high(queue: int) -> None:
    """32 rows allow a queue of 16. One place in three is masked at most, where a row's own coordinates are in the queue."""
    _, made = run(epochs=1, temperature=1000.0, queue=queue, learning_rate=1e-9, batch_size=32)
    k = min(queue, 16)
    row = made.curve[0]
    assert row["overhead_to_photo"] == pytest.approx(math.log(32), abs=0.01)
    assert math.log(k) - 0.01 < row["photo_to_place"] < math.log(1 + k) + 0.01
    assert row["total"] == pytest.approx(sum(row[term] for term in TERMS) / 2)
    assert made.facts["queue"] == k


def test_all_parts_learn_and_photos_find_their_quarter() -> None:
    alignment, made = run(epochs=30)
    fresh, _ = run(epochs=1, learning_rate=1e-9)
    start = fresh.state_dict()
    for part in ("photo", "projection", "overhead.map", "overhead.nili", "location"):
        now = {key: value for key, value in alignment.state_dict().items() if key.startswith(part)}
        moved = [key for key, value in now.items() if not torch.equal(value, start[key])]
        assert moved, part
    first, last = made.curve[0], made.curve[-1]
    assert last["overhead_to_photo"] < 0.6 * first["overhead_to_photo"]
    assert set(first) == {"epoch", *TERMS, "total"}


@pytest.mark.parametrize("decoder", ["mlp", "bilinear", "mean"])
def test_each_decoder_trains(decoder: str) -> None:
    _, made = run(epochs=2, decoder=decoder, learn_temperature=True, distillation=0.2)
    assert {"distil_overhead", "distil_photo", "temperature"} < set(made.curve[-1])
    parts = made.curve[-1]
    assert parts["total"] == pytest.approx(
        sum(parts[term] for term in TERMS) / 2 + parts["distil_overhead"] + parts["distil_photo"]
    )
    assert -0.2 <= parts["distil_photo"] < 0


def test_rows_without_a_photo_align_overhead_images_and_places_and_say_so() -> None:
    alignment, made = run(epochs=1, photos=False, features="overhead_at_place")
    assert alignment.photo is None and alignment.projection is None
    assert set(made.curve[0]) == {"epoch", "overhead_to_place", "total"}
    assert "no photo" in str(made.facts["note"])


@pytest.mark.parametrize("at", ["epoch 2", 2])
def test_a_stopped_run_ends_as_a_whole_one(at, tmp_path, monkeypatch) -> None:
    if at == 2:
        monkeypatch.setattr("cspops.training.loop.SNAPSHOT_SECONDS", 0.0)
    stopped_and_continued(lambda resume=None: run(resume=resume, batch_size=8), tmp_path, monkeypatch, at=at)


def test_the_same_seed_gives_the_same_numbers() -> None:
    same_numbers_for_the_same_seed(lambda **changes: run(**changes))


def overhead(**changes) -> dict[str, dict[str, object]]:
    return {"overhead": {"model": "timm:test_resnet", "weights": "random", "px": 32, "stride": 4} | changes}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"n": 1}, DataError, "1 training rows"),
        (overhead(model="timm:resnet99"), ParamsError, "no model 'resnet99'"),
        (
            {"overhead": {"model": "timm:test_resnet", "weights": "random", "px": 32, "stride": 5}},
            ParamsError,
            "stride is 5, and the feature maps",
        ),
        ({"photos": False, "features": "photo", "terms": ("photo_to_place",)}, ParamsError, "no term is left"),
    ],
)
def test_what_cannot_be_trained_is_said(changes, error, says) -> None:
    with pytest.raises(error, match=says):
        run(**changes)


def test_a_location_encoder_that_is_fitted_is_fitted_to_the_places() -> None:
    rbf = LOCATION | {"encoding": {"name": "rbf"}, "encodings": {"rbf": {"anchors": 5, "sigma": 1.0}}}
    alignment, _ = run(epochs=1, location_encoder=rbf)
    anchors = {tuple(one) for one in alignment.location.encoding.anchor.float().tolist()}
    assert anchors <= {tuple(one) for one in places().lonlat.float().tolist()}
