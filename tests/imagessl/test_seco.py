"""Seasonal contrast: its loss and queues against loops, its views, what it learns, and when it refuses."""

import dataclasses
import math
from functools import partial

import pytest
import torch
from interrupted import stopped_and_continued
from seasons import seasons, small_network, togetherness
from test_moco import settings as moco_settings
from unlabelled import CPU, unlabelled

from cspops.errors import DataError
from cspops.imagessl.seco import SeasonalContrast, seco, space_loss
from cspops.losses.objectives import unit
from cspops.params.image_networks import Seco
from cspops.seeds import torch_stream
from cspops.training import loop
from cspops.training.loop import Run


def settings(**changes) -> Seco:
    own = {"place_metres": changes.pop("place_metres", None), "least_share": changes.pop("least_share", 0.5)}
    return Seco.model_construct(**dict(moco_settings(**({"batch_size": 8} | changes))), **own)


def run(images=None, *, resume=None, **changes):
    network = small_network()
    images = seasons() if images is None else images
    return network, seco(network, images, settings(**changes), Run(0, CPU, resume))


@pytest.mark.parametrize("space", [0, 1, 2])
def test_the_loss_of_a_space_is_that_of_a_loop(space):
    """Candidates of a row, one by one: 1 + K in space 0, 1 + K + 2 N in the others, the own row's other views among them."""
    draws = torch.Generator().manual_seed(0)
    q, keys, queue = (unit(torch.randn(*shape, 4, generator=draws)) for shape in [(5,), (3, 5), (7,)])
    total = 0.0
    for row in range(5):
        candidates = [queue[m] for m in range(7)]
        if space > 0:
            candidates += [keys[view, other] for view in range(3) for other in range(5) if view != space]
        assert len(candidates) == (7 if space == 0 else 7 + 2 * 5)
        positive = math.exp(float(q[row] @ keys[space, row]) / 0.2)
        total -= math.log(positive / (positive + sum(math.exp(float(q[row] @ one) / 0.2) for one in candidates)))
    assert float(space_loss(space, q, keys, queue, temperature=0.2)) == pytest.approx(total / 5, rel=1e-5)


def test_a_space_projects_all_keys_with_its_own_head_and_queues_those_of_its_view():
    """Against a loop that runs the momentum network and head i on each view, in eval mode so that groups do not matter."""
    model = SeasonalContrast(small_network(), settings(queue=12, momentum=0.5), places=40, seed=0).eval()
    with torch.no_grad():
        for parameter in model.query.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(parameter.shape))))
    draws = torch.Generator().manual_seed(0)
    x, *views = (torch.rand(4, 3, 32, 32, generator=draws) for _ in range(4))
    expected_keys = [
        (0.5 * mine + 0.5 * its).detach() for mine, its in zip(model.key.parameters(), model.query.parameters(), strict=True)
    ]
    queues = [queue.keys.clone() for queue in model.queues]
    losses = model.contrast(x, views, torch_stream(0, "shuffle"))
    for now, expected in zip(model.key.parameters(), expected_keys, strict=True):
        torch.testing.assert_close(now, expected)  # followed before the keys are made
    for space in range(3):
        with torch.no_grad():
            q = unit(model.query[1 + space](model.query[0](x)))
            keys = torch.stack([unit(model.key[1 + space](model.key[0](view))) for view in views])
        expected = space_loss(space, q, keys, queues[space], temperature=0.1)
        assert losses[space].item() == pytest.approx(float(expected), rel=1e-4)
        torch.testing.assert_close(model.queues[space].keys[:4], keys[space], rtol=0, atol=1e-5)
        assert torch.equal(model.queues[space].keys[4:], queues[space][4:])


def test_momentum_networks_get_no_gradient():
    model = SeasonalContrast(small_network(), settings(), places=20, seed=0)
    x = torch.rand(4, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.stack(model.contrast(x[0], list(x[1:]), torch_stream(0, "shuffle"))).sum().backward()
    assert all(parameter.grad is not None for parameter in model.query.parameters())
    assert all(parameter.grad is None for parameter in model.key.parameters())


def test_untrained_each_space_has_the_log_of_its_candidates():
    """At a high temperature: ln(1 + 10) (half of 20 places are the queue), and with 2 N = 20 keys more ln(1 + 10 + 20)."""
    _, made = run(epochs=1, batch_size=10, queue=4096, temperature=1000.0, learning_rate=1e-9)
    row = made.curve[0]
    assert row["space_0"] == pytest.approx(math.log(11), abs=2e-3)
    assert row["space_1"] == pytest.approx(math.log(31), abs=2e-3)
    assert row["space_2"] == pytest.approx(math.log(31), abs=2e-3)
    assert row["total"] == pytest.approx(row["space_0"] + row["space_1"] + row["space_2"], rel=1e-6)


def recorded_views(monkeypatch):
    """What the contrast is given, step by step; its losses are 0."""
    seen = []

    def recorded(self, queries, keys, draws, n):
        seen.append((queries, *keys))
        return [(parameter**2).sum() * 0 for parameter in self.query[1][1].parameters()][:1] * 3

    monkeypatch.setattr(SeasonalContrast, "contrast", recorded)
    return seen


def test_which_view_is_which(monkeypatch):
    """q = P(t0), k0 = P(A(t1)), k1 = P(t2), k2 = P(A(t0)): plain images, the colour of place and date, and A halves at least.

    Without jitter in P, the colour tells the date; with grey in A, an augmented view has equal channels.
    """
    seen = recorded_views(monkeypatch)
    pixels = torch.zeros(12, 8, 8, 3, dtype=torch.uint8)
    pixels[..., 0] = torch.arange(12)[:, None, None] * 20
    images = dataclasses.replace(seasons(places=4, dates=3), pixels=pixels)
    run(images, epochs=30, batch_size=4, grey=1.0, colour_jitter=0.0)
    q, k0, k1, k2 = (torch.cat(views) for views in zip(*seen, strict=True))
    for plain in (q, k1):
        assert float(plain[:, 1:].max()) == 0
    for augmented in (k0, k2):
        torch.testing.assert_close(augmented[:, 0], augmented[:, 1])
    row_q, row_1 = ((255 * x[:, 0, 4, 4] / 20).round().long() for x in (q, k1))
    row_0, row_2 = ((3 * 255 * x[:, 0, 4, 4] / 20).round().long() for x in (k0, k2))
    assert torch.equal(row_2, row_q)
    for other in (row_0, row_1):
        assert torch.equal(other // 3, row_q // 3)
        equal = float((other == row_q).double().mean())
        assert abs(equal - 1 / 3) < 6 * math.sqrt(2 / 9 / 120)  # drawn with replacement from three dates
    assert not torch.equal(row_0, row_1)


def test_cropped_views_are_neither_mirrored_nor_turned(monkeypatch):
    """Left half dark, right half bright: it stays so in q and k1, and does not in all of k0 and k2."""
    seen = recorded_views(monkeypatch)
    pixels = torch.zeros(60, 8, 8, 3, dtype=torch.uint8)
    pixels[:, :, 4:] = 200
    run(dataclasses.replace(seasons(), pixels=pixels), epochs=1, batch_size=20, min_scale=0.9, colour_jitter=0.0, grey=0.0)
    rises = [bool((x[:, 0, :, 7] > x[:, 0, :, 0] + 0.5).all()) for x in seen[0]]
    assert rises == [True, False, True, False]


def test_every_place_of_several_dates_is_seen_once_an_epoch(monkeypatch):
    """Batches of 8, 8 and 2 of the 18."""
    numbers = []
    real = loop.epoch_of_rows

    def recorded(n, batch_size, *, generator, order):
        for rows in real(n, batch_size, generator=generator, order=order):
            numbers.append(rows)
            yield rows

    monkeypatch.setattr(loop, "epoch_of_rows", recorded)
    images = seasons()
    images.captured_at[:6] = 0  # the first two places have one date each
    _, made = run(images, epochs=1)
    assert torch.equal(torch.cat(numbers).sort().values, torch.arange(18))
    assert (made.facts["places"], made.facts["places_of_one_date"]) == (18, 2)


def test_too_few_places_of_several_dates_are_refused():
    images = seasons()
    images.place[33:] = -1  # 11 places of three dates and 27 single images
    with pytest.raises(DataError, match="11 of 38 places have two dates or more") as caught:
        run(images)
    assert "captured_at and location_id" in str(caught.value.hint)
    assert run(images, epochs=1, least_share=0.25)[1].facts["places"] == 11


def test_a_data_set_without_places_is_refused_even_without_a_least_share():
    with pytest.raises(DataError, match="0 of 1,200 places have two dates or more"):
        run(unlabelled(torch.zeros(1200, 8, 8, 3, dtype=torch.uint8)), least_share=0.0)


def test_positions_stand_in_for_location_id():
    images = dataclasses.replace(seasons(), place=torch.full((60,), -1))
    with pytest.raises(DataError, match="0 of 60"):
        run(images)
    assert run(images, epochs=1, place_metres=100.0)[1].facts["places"] == 20


def test_the_spaces_of_season_and_augmentation_are_learned_and_the_dates_of_a_place_come_together():
    """Collapsed, the spaces 1 and 2 have ln 31 (a queue of 10, 2 N = 20 keys). Untrained features go by the season's colour."""
    images = seasons()
    views = {"min_scale": 0.8, "colour_jitter": 0.05, "grey": 0.0}
    training = {"epochs": 40, "learning_rate": 0.01, "momentum": 0.95, "temperature": 0.2, "queue": 10}
    network, made = run(images, batch_size=10, norm_groups=2, **views, **training)
    for space in ("space_1", "space_2"):
        assert sum(row[space] for row in made.curve[-5:]) / 5 < math.log(31) - 0.25
    assert togetherness(network, images) > togetherness(small_network(), images) + 0.1


@pytest.mark.parametrize(("seconds", "at"), [(60.0, "epoch 2 of 2"), (-1.0, 4)])
def test_an_interrupted_run_ends_bit_identical(tmp_path, monkeypatch, seconds, at):
    """Killed after an epoch, and a step into the second: after each of three steps an epoch a snapshot.

    It holds three queues, and the stream that draws the dates.
    """
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", seconds)
    line = stopped_and_continued(partial(run, epochs=2), tmp_path, monkeypatch, at=at)
    assert line.startswith("seco: continuing after epoch 1 of 2")
    assert ("and 1 steps" in line) == (seconds < 0)
