"""What is timed computes the same as what it is timed against, on tiny shapes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import plain, timing, training
from cspops.evaluation.metrics import best_classes
from cspops.evaluation.model_tables import model_tables
from cspops.evaluation.predictor import LocationPredictor
from cspops.geo import uniform_on_sphere
from cspops.losses.csp import mc_loss
from cspops.losses.finetuning import presence_absence_in_blocks
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.models.networks import two_passes

CPU = torch.device("cpu")
TINY = training.Shapes(
    batch=8,
    dim=6,
    scales=3,
    hidden=10,
    dropout=0.0,
    features=5,
    classes=12,
    epochs=1,
    batches=2,
    steps=2,
    plain_steps=3,
    plain_rows=4,
)


def both_encoders() -> tuple[LocationEncoder, plain.Encoder]:
    torch.manual_seed(0)
    ours, theirs = LocationEncoder(TINY.encoder), training.plain_encoder(TINY)
    theirs.load_state_dict(ours.network.state_dict(), strict=True)
    return ours, theirs


def places(seed: int) -> torch.Tensor:
    return uniform_on_sphere(TINY.batch, generator=torch.Generator().manual_seed(seed))


def same_gradients(one: nn.Module, other: nn.Module) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_pretraining_is_the_same_loss_and_gradient():
    ours, theirs = both_encoders()
    x, negative = places(1), places(2)
    image = torch.randn(8, 6, generator=torch.Generator().manual_seed(3))
    stacked = ours.encoding(torch.cat((x, negative)))
    loc, again, neg = two_passes(ours.network, stacked, 8).split(8)
    one = mc_loss(loc, image, neg_loc_emb=neg[:, None], loc_emb_2=again, **training.TAUS)["total"]
    other = plain.pretraining_loss(theirs, nn.Identity(), x.numpy(), image, negative.numpy(), training.LOSS.tau_batch)
    torch.testing.assert_close(one, other)
    one.backward()
    other.backward()
    same_gradients(ours.network, theirs)


def test_finetuning_is_the_same_loss_and_gradient():
    ours, theirs = both_encoders()
    classes = nn.Linear(6, 12, bias=False)
    x, negative, label = places(1), places(2), torch.arange(8) % 5
    one = presence_absence_in_blocks(ours(x), ours(negative), classes.weight, label, beta=0.3)
    one.backward()
    first = classes.weight.grad.clone()
    classes.zero_grad()
    other = plain.finetuning_loss(theirs, classes, x.numpy(), label, negative.numpy(), 0.3)
    other.backward()
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(first, classes.weight.grad, rtol=1e-4, atol=1e-6)
    same_gradients(ours.network, theirs)


def test_evaluation_finds_the_same_classes():
    ours, theirs = both_encoders()
    model = LocationClassifier(ours, ClassEmbedding(6, 12)).eval()
    classes = nn.Linear(6, 12, bias=False)
    classes.load_state_dict(model.class_embedding.linear.state_dict())
    x, logits = places(1), torch.randn(8, 12, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found = model_tables(logits, LocationPredictor(model).scores(x), torch.ones(8, dtype=torch.bool))
        tables = [table.order for _, table in found]
        for i in range(8):
            for order, best in zip(
                tables, plain.best_of_a_row(logits[i].numpy(), x[i].numpy(), theirs, classes, 3), strict=True
            ):
                assert best_classes(order, 3)[1][i].tolist() == best.tolist()


def test_plain_places_are_uniform_on_the_sphere():
    """The mean of sin(latitude) is 0 with variance 1/3, that of its square 1/3 with variance 4/45."""
    n = 40000
    lon, lat = plain.places(n, np.random.default_rng(0)).T
    z = np.sin(np.radians(lat))
    assert abs(z.mean()) < 6 * math.sqrt(1 / 3 / n)
    assert abs((z**2).mean() - 1 / 3) < 6 * math.sqrt(4 / 45 / n)
    assert -180 <= lon.min() < -179 < 179 < lon.max() <= 180


@pytest.mark.parametrize(("n", "i", "o"), [(3, 4, 5), (9, 2, 3), (2, 9, 3), (2, 3, 9)])
@pytest.mark.parametrize("way", [timing.by_mm, timing.by_convolution])
def test_the_bound_multiplies(monkeypatch, n, i, o, way):
    """Each way answers the product itself, in some layout, and the parts of a step have its gradients' sizes."""
    a, b = torch.randn(n, i), torch.randn(i, o)
    out = way(a, b)()
    torch.testing.assert_close(out if out.ndim == 2 else out[0, :, :, 0].T, a @ b)
    monkeypatch.setattr(timing, "LONG", 8)
    timing.fastest(n, i, o, CPU)()
    assert timing.Product(n, i, o).parts == [(n, i, o), (i, n, o), (n, o, i)]


def test_it_prints_the_table(capsys):
    threads = torch.get_num_threads()
    try:
        training.main(TINY, ["--repeats", "2"])
    finally:
        torch.set_num_threads(threads)
    out = capsys.readouterr().out
    ways = [line[32:38].strip() for line in out.splitlines()]
    assert [ways.count(way) for way in timing.WAYS] == [3, 3, 3]
    assert all(name in out for name in ("pre-training", "fine-tuning", "evaluation", "peak memory"))
