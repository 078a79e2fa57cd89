"""The weight average and the choice of the best."""

import pytest
import torch
from torch import nn

from cspops.training.kept_weights import KeptWeights


class Counting(nn.Module):
    """A weight, a running mean and a count."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.ones(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def step(self, by: float) -> None:
        with torch.no_grad():
            self.w += by
            self.mean += 2 * by
            self.count += 1


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_the_average_is_that_of_the_formula_for_parameters_and_buffers(decay):
    """a <- d_t a + (1 - d_t) w by hand, with d_t = min(d, (1 + t) / (10 + t)) and d_0 = 0; whole numbers are copied."""
    model = Counting()
    kept = KeptWeights(model, decay=decay)
    w, mean = 0.0, 1.0
    for t in range(12):
        model.step(0.5 + t)
        kept.follow(model)
        d = min(decay, (1 + t) / (10 + t)) if t else 0.0
        w, mean = d * w + (1 - d) * model.w[0].item(), d * mean + (1 - d) * model.mean.item()
    assert kept.average.module.w.tolist() == pytest.approx([w, w], rel=1e-5)
    assert float(kept.average.module.mean) == pytest.approx(mean, rel=1e-5)
    assert int(kept.average.module.count) == 12
    assert model.w[0].item() == sum(0.5 + t for t in range(12))


def test_the_best_is_kept_and_patience_counts_judgements_without_a_better_one():
    model = Counting()
    kept = KeptWeights(model, decay=0.0)
    over = []
    for nll in (3.0, 2.0, 2.5, 2.0, 1.0, 4.0):
        model.step(1.0)
        kept.follow(model)
        kept.keep_best(model, nll)
        over.append(kept.is_over(2))
    assert over == [False, False, False, True, False, False]
    assert kept.best.w.tolist() == [5.0, 5.0]
    assert not kept.is_over(0)
    assert float(kept.least) == 1.0


def test_a_good_start_is_kept_but_is_no_measure_of_patience():
    """1.0 at the start; 3.0 and 2.0 improve on each other, 2.5 and 2.2 on nothing; then 0.5 beats the start too."""
    model = Counting()
    kept = KeptWeights(model, decay=0.0)
    kept.keep_start(model, 1.0)
    over, best = [], []
    for nll in (3.0, 2.0, 2.5, 2.2, 0.5):
        model.step(1.0)
        kept.keep_best(model, nll)
        over.append(kept.is_over(2))
        best.append(kept.best.w[0].item())
    assert over == [False, False, False, True, False]
    assert best == [0.0, 0.0, 0.0, 0.0, 5.0]


def test_its_state_is_all_that_it_knows():
    model = Counting()
    kept, other = KeptWeights(model, decay=0.9), KeptWeights(Counting(), decay=0.9)
    for _ in range(3):
        model.step(1.0)
        kept.follow(model)
    kept.keep_best(model, kept.candidate(model).w[0].item())
    other.load_state_dict(kept.state_dict())
    for one in (kept, other):
        one.follow(model)
        one.keep_best(model, 9.0)
    for key, mine in kept.state_dict().items():
        assert torch.equal(mine, other.state_dict()[key]), key
