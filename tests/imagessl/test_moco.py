"""MoCo: the queue, the momentum network, the loss at the start, and runs that are interrupted."""

import copy
import math

import pytest
import torch
from interrupted import same_numbers_for_the_same_seed, stopped_and_continued
from unlabelled import CPU, backbone, tiles, unlabelled

from cspops.errors import DataError
from cspops.imagessl.moco import moco
from cspops.losses import objectives
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Moco
from cspops.seeds import torch_stream
from cspops.training.loop import Run
from cspops.training.resume import Resume


def settings(**changes) -> Moco:
    defaults = {
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.05,
        "weight_decay": 0.0005,
        "momentum": 0.9,
        "temperature": 0.1,
        "queue": 16,
        "dim": 8,
        "norm_groups": 4,
        "min_scale": 0.7,
        "colour_jitter": 0.1,
        "grey": 0.1,
        "blur": 0.0,
        "turns": True,
    }
    return Moco(**defaults).model_copy(update=changes)


def run(n: int = 32, *, network: ImageNetwork | None = None, resume=None, seed: int = 0, **changes):
    network = network or backbone()
    made = moco(network, unlabelled(n), settings(**changes), Run(seed, CPU, resume))
    return network, made.curve


@pytest.mark.parametrize("queue", [4, 16])
def test_the_loss_at_the_start_is_log_of_the_candidates_when_the_temperature_is_high(queue):
    """Scores are cosines within +-1, so each term of the softmax is within e^(+-1/t): the loss is ln(1 + queue) +- 2/t."""
    _, curve = run(epochs=1, temperature=1000.0, queue=queue, learning_rate=1e-9)
    assert curve[0]["total"] == pytest.approx(math.log(1 + queue), abs=2 / 1000)


def test_the_queue_is_at_most_half_the_tiles():
    """32 tiles allow 16 keys: with more, a tile's own older keys would be its negatives."""
    _, curve = run(epochs=1, temperature=1000.0, queue=4096, learning_rate=1e-9)
    assert curve[0]["total"] == pytest.approx(math.log(17), abs=2 / 1000)


def test_learns_to_tell_tiles_apart():
    """A collapsed network has equal scores, thus ln 33; one that stands still has what its random features give."""
    plain = {"min_scale": 0.9, "colour_jitter": 0.0, "grey": 0.0}

    def end(rate: float) -> float:
        _, curve = run(64, epochs=15, queue=32, momentum=0.95, temperature=0.2, learning_rate=rate, **plain)
        return sum(row["total"] for row in curve[-3:]) / 3

    assert end(0.005) < min(math.log(33), end(1e-9)) - 0.4


def test_every_key_enters_the_queue(tmp_path):
    """32 keys into a queue of 12, by 8: none of the first random ones is left, and the oldest is at 32 mod 12 = 8."""
    run(epochs=1, batch_size=8, queue=12, resume=Resume(tmp_path))
    state = Resume(tmp_path).load("moco")["modules"]["contrast"]
    first = unit(torch.randn(12, 8, generator=torch_stream(0, "moco queue")))
    queue = state["queue.keys"]
    assert state["queue.oldest"].item() == 8
    assert queue.shape == (12, 8)
    assert float((queue @ first.T).max()) < 1 - 1e-4
    torch.testing.assert_close(queue.norm(dim=1), torch.ones(12), rtol=0, atol=1e-5)


def test_no_key_is_a_negative_of_its_own_query(monkeypatch):
    """The keys of a batch enter the queue after its scores: no negative score of a row equals its positive one."""
    gaps, real = [], objectives.mc

    def recorded(pos, neg, *, temperature):
        assert neg.shape == (8, 12)
        gaps.append(float((neg - pos[:, None]).detach().abs().min()))
        return real(pos, neg, temperature=temperature)

    monkeypatch.setattr(objectives, "mc", recorded)
    run(epochs=1, batch_size=8, queue=12)
    assert len(gaps) == 4
    assert min(gaps) > 1e-6


def test_the_network_is_trained_in_place_and_left_in_eval_mode():
    network = backbone()
    before = copy.deepcopy(network.state_dict())
    run(network=network, epochs=1)
    assert not any(module.training for module in network.modules())
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    trained = {key for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained <= changed
    assert set(network.state_dict()) == set(before)


def test_an_unlearning_rate_leaves_the_weights():
    """At a rate of zero nothing but batch-norm statistics moves: keys follow queries that stand still."""
    network = backbone()
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    run(network=network, epochs=1, learning_rate=0.0)
    assert all(torch.equal(value, before[key]) for key, value in network.named_parameters())


def test_same_seed_same_numbers_whatever_the_global_stream():
    same_numbers_for_the_same_seed(run)


@pytest.mark.parametrize("stop", [1, 2])
def test_an_interrupted_run_ends_bit_identical(tmp_path, monkeypatch, stop):
    """The snapshot holds both networks, the queue with its place, batch-norm statistics and SGD's momentum."""
    line = stopped_and_continued(run, tmp_path, monkeypatch, at=f"epoch {stop + 1} of 3")
    assert f"continuing after epoch {stop} of 3" in line


@pytest.mark.parametrize("n", [18, 19, 21, 25])
def test_the_last_batch_may_be_short(n):
    """Its groups must have two rows at least, of which batch norm takes statistics where a tile has shrunk to one pixel."""
    _, curve = run(n, network=backbone("timm:resnet10t"), epochs=1, queue=4)
    assert math.isfinite(curve[0]["total"])


def test_settings_and_tiles_are_left_alone():
    pixels = tiles()
    copied = pixels.clone()
    moco(backbone(), unlabelled(pixels), settings(epochs=1), Run(0, CPU))
    assert torch.equal(pixels, copied)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_tiles_are_refused(n: int) -> None:
    pixels = torch.zeros(n, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="too few"):
        moco(backbone(), unlabelled(pixels), settings(), Run(0, CPU))


def test_positions_give_a_monitor_and_change_nothing_else() -> None:
    plain, curve = run(epochs=2)
    network = backbone()
    lonlat = torch.rand(32, 2, generator=torch.Generator().manual_seed(0)) * 50
    made = moco(network, unlabelled(32, lonlat=lonlat), settings(epochs=2), Run(0, CPU))
    assert [row["total"] for row in made.curve] == [row["total"] for row in curve]
    assert all(0 < row["knn_km"] < 7000 for row in made.curve)
    assert made.facts.keys() == {"knn_km_before", "knn_km_after"}
    assert made.facts["knn_km_after"] == pytest.approx(made.curve[-1]["knn_km"], abs=0.06)
    for one, other in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
