"""Fine-tuning of a whole network: what it learns, what it keeps, and runs that are interrupted."""

import copy
import math

import pytest
import torch
from tiny_classifier import CLASSES, CPU, SETTINGS, images, network, stopping, train
from told import told
from torch.nn.functional import cross_entropy

from cspops.errors import DataError
from cspops.pixels.views import Views
from cspops.seeds import derive
from cspops.training import finetune_network as module
from cspops.training import loop
from cspops.training.finetune_network import LabelledImages, finetune_network, image_features
from cspops.training.linear_probe import linear_probe
from cspops.training.loop import Run
from cspops.training.resume import Resume


def nll_and_top1(model, val: LabelledImages) -> tuple[float, float]:
    with torch.no_grad():
        p = model(Views(val.pixels, CPU).plain(val.rows)).double().softmax(1)
    nll = [-math.log(p[i, y]) if p[i, y] > 1e-30 else math.log(CLASSES) for i, y in enumerate(val.label.tolist())]
    return sum(nll) / len(nll), 100 * float((p.argmax(1) == val.label).double().mean())


@pytest.mark.parametrize("norm", [False, True])
def test_the_epoch_of_the_least_validation_nll_is_kept(norm):
    """At a rate so high that validation gets worse again; judged once more by the returned classifier."""
    sets = images()
    model, curve = train(net=network(norm=norm), sets=sets, epochs=6, learning_rate=0.3, ema=0.0, layer_decay=1.0)
    least = min(row["val_nll"] for row in curve)
    assert curve[-1]["val_nll"] > least
    best = next(row for row in curve if row["val_nll"] == least)
    assert nll_and_top1(model, sets[1]) == pytest.approx((least, best["val_top1"]), rel=1e-5)
    assert not any(part.training for part in model.modules())


def test_patience_ends_the_training():
    _, curve = train(epochs=30, learning_rate=0.5, ema=0.0, layer_decay=1.0, patience=2)
    nll = [row["val_nll"] for row in curve]
    assert len(curve) < 30
    assert min(range(len(nll)), key=nll.__getitem__) == len(nll) - 3


def test_it_learns_and_moves_the_network():
    sets, net = images(), network()
    before = copy.deepcopy(net.state_dict())
    model, curve = train(net=net, sets=sets, epochs=10)
    assert curve[-1]["val_top1"] == 100
    assert curve[-1]["val_nll"] < 0.5 * curve[0]["val_nll"]
    assert model.network is net
    assert not torch.equal(net.state_dict()["network.0.weight"], before["network.0.weight"])


def test_the_first_loss_is_that_of_the_uniform_guess_whatever_is_smoothed():
    """Scores of 0 for the 3 classes present: (1 - s) ln 3 + s ln 3."""
    _, curve = train(epochs=1, batch_size=100, label_smoothing=0.3)
    assert curve[0]["total"] == pytest.approx(math.log(3), rel=1e-6)


def test_labels_are_smoothed_over_the_classes_that_have_one(monkeypatch):
    """(1 - s) on the true class and s / c on each of the c present, by hand; the class without a label has no part."""
    seen = []

    def spy(scores, label, *, label_smoothing):
        value = cross_entropy(scores, label, label_smoothing=label_smoothing)
        target = torch.full_like(scores, label_smoothing / scores.shape[1])
        target[torch.arange(len(label)), label] += 1 - label_smoothing
        seen.append((scores.shape[1], value.item(), float(-(target * scores.detach().log_softmax(1)).sum(1).mean())))
        return value

    monkeypatch.setattr(module, "cross_entropy", spy)
    train(label_smoothing=0.2)
    assert {count for count, _, _ in seen} == {3}
    for _, value, by_hand in seen:
        assert value == pytest.approx(by_hand, rel=1e-5)


def test_a_class_without_a_label_has_probability_zero_and_its_validation_rows_count_as_a_guess():
    """Validation rows of class 3 that training knows nothing of; labels 0, 2 are there, 1 is not."""
    labelled, val = images()
    known = labelled.label != 1
    labelled = LabelledImages(labelled.pixels, labelled.rows[known], labelled.label[known], CLASSES)
    val = LabelledImages(val.pixels, val.rows, torch.where(val.label == 1, 3, val.label), CLASSES)
    model, curve = train(sets=(labelled, val))
    with torch.no_grad():
        scores = model(Views(val.pixels, CPU).plain(val.rows))
    assert float(scores.double().softmax(1)[:, [1, 3]].max()) == 0
    assert bool(scores.isfinite().all())
    best = min(curve, key=lambda row: row["val_nll"])
    assert nll_and_top1(model, val) == pytest.approx((best["val_nll"], best["val_top1"]), rel=1e-5)


def test_one_class_alone_is_certain():
    labelled, val = images()
    one = LabelledImages(labelled.pixels, labelled.rows, torch.full_like(labelled.label, 2), CLASSES)
    model, _ = train(sets=(one, val), epochs=1)
    with torch.no_grad():
        assert model(torch.rand(2, 3, 8, 8)).softmax(1)[:, 2].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("stop", [4, 13])
def test_a_run_killed_within_an_epoch_ends_bit_identical(tmp_path, monkeypatch, head, stop):
    """Model, average, best, counters and AdamW's moments; three batches an epoch, a snapshot after each step."""
    others = {"head": head, "blur": 0.5, "accumulation": 2, "min_scale": 0.3}
    whole, curve = train(net=network(norm=True), **others)
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(net=stopping(network(norm=True), after=stop), resume=Resume(tmp_path), **others)
    lines: list[str] = []
    torch.manual_seed(derive(99, "elsewhere"))
    with told(lines.append):
        resumed, its_curve = train(net=network(norm=True), resume=Resume(tmp_path), **others)
    assert "continuing after" in lines[0]
    assert its_curve == curve
    for (key, mine), theirs in zip(resumed.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key


def test_seeds_differ_and_repeat():
    one, again, other = train(epochs=1), train(epochs=1), train(epochs=1, seed=1)
    assert one[1] == again[1]
    assert one[1] != other[1]


def test_a_linear_head_starts_as_the_probe():
    """At a rate of nothing the classifier is the probe, of the classes that have a label; the others are absent."""
    sets = images()
    net = network(norm=True).eval()
    with torch.no_grad():
        features = [net(one.pixels[one.rows]) for one in sets]
    search = {"classes": CLASSES, "l2": (0.01,), "max_iterations": 100}
    probe, (choice,) = linear_probe(features[0], sets[0].label, features[1], sets[1].label, **search)
    others = {"sets": sets, "start": probe, "batch_norm": "frozen", "learning_rate": 1e-12, "epochs": 1}
    model, curve = train(net=net, **others)
    assert curve[0]["val_nll"] == pytest.approx(choice.val_nll, rel=1e-5)
    with torch.no_grad():
        view = Views(sets[1].pixels, CPU).plain(sets[1].rows)
        torch.testing.assert_close(model(view), probe(features[1]), rtol=1e-4, atol=1e-4)
    _, from_zero = train(net=network(norm=True), head="mlp", **others)
    assert from_zero[0]["val_nll"] == pytest.approx(math.log(3), rel=1e-5)


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_frozen_batch_norm_keeps_its_statistics_and_trains_its_scale(batch_norm):
    net = network(norm=True)
    before = copy.deepcopy(net.state_dict())
    train(net=net, batch_norm=batch_norm, ema=0.0)
    after = net.state_dict()
    for name in ("running_mean", "num_batches_tracked"):
        same = torch.equal(after[f"network.1.{name}"], before[f"network.1.{name}"])
        assert same == (batch_norm == "frozen"), name
    assert not torch.equal(after["network.1.weight"], before["network.1.weight"])


def test_one_row_is_refused():
    labelled, val = images()
    with pytest.raises(DataError, match="one labelled image is too few"):
        train(sets=(LabelledImages(labelled.pixels, labelled.rows[:1], labelled.label[:1], CLASSES), val))


def test_features_are_those_of_the_network(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 5)
    labelled, _ = images()
    model, _ = train(epochs=1)
    found = image_features(model, labelled.pixels, labelled.rows, CPU)
    with torch.no_grad():
        torch.testing.assert_close(found, model.network(labelled.pixels[labelled.rows]).half(), rtol=2e-3, atol=1e-3)
    assert image_features(model, labelled.pixels, labelled.rows[:0], CPU).shape == (0, 8)


def test_a_training_that_makes_the_probe_worse_ends_as_the_probe():
    """At a ruinous rate every epoch is worse on validation than the start, which is kept."""
    labelled, val = images()
    net = network().eval()
    features, val_features = (net(one.pixels[one.rows]).detach() for one in (labelled, val))
    probe, search = linear_probe(
        features, labelled.label, val_features, val.label, classes=CLASSES, l2=(0.1, 0.01), max_iterations=50
    )
    settings = SETTINGS.model_copy(update={"learning_rate": 30.0, "ema": 0.0, "epochs": 2})
    model, curve = finetune_network(network(), labelled, val, settings, start=probe, run=Run(0, CPU))
    assert min(row["val_nll"] for row in curve) > min(choice.val_nll for choice in search) + 0.1
    answer = model(Views(val.pixels, CPU).plain(val.rows)).detach()
    torch.testing.assert_close(answer, probe(val_features).detach(), rtol=1e-3, atol=1e-3)
