"""The linear probe against scikit-learn, and its search for L2."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from cspops.training.linear_probe import linear_probe

K, Q = 6, 4


def rows(n: int, seed: int = 0, classes: int = Q) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian clusters that overlap, at scales of their own."""
    g = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % classes
    centres = torch.randn(Q, K, generator=torch.Generator().manual_seed(9))
    scale = torch.tensor([1.0, 50.0, 0.02, 3.0, 1.0, 1.0])
    return (centres[label] + torch.randn(n, K, generator=g)) * scale + 10, label


def fit(l2=(0.01,), *, train=None, val=None, classes: int = Q, max_iterations: int = 500):
    return linear_probe(*(train or rows(120)), *(val or rows(80, 1)), classes=classes, l2=l2, max_iterations=max_iterations)


def probabilities(probe, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return probe(x).double().softmax(1)


@pytest.mark.parametrize("l2", [0.3, 0.01, 0.001])
def test_equals_scikit_learn(l2):
    """scikit-learn minimises C sum_i CE_i + |W|^2 / 2, ours is mean_i CE_i + l2 |W|^2 / 2: divide its by C n, C = 1 / (l2 n).

    Neither penalises the bias, which a constant may be added to: probabilities and weights have no such freedom.
    """
    x, y = rows(120)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    theirs = LogisticRegression(C=1 / (l2 * len(y)), tol=1e-8, max_iter=5000).fit(z, y.numpy())
    probe, _ = fit((l2,))
    other, _ = rows(50, 2)
    z_other = ((other - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    np.testing.assert_allclose(probabilities(probe, other).numpy(), theirs.predict_proba(z_other), rtol=0, atol=1e-3)
    close = 2e-3 * np.abs(theirs.coef_).max()
    np.testing.assert_allclose(probe.linear.weight.detach().numpy(), theirs.coef_, rtol=0, atol=close)


def test_is_at_a_minimum_of_its_objective():
    """The gradient of mean CE + l2/2 |W|^2 vanishes: by autograd on the returned weights."""
    x, y = rows(120)
    probe, _ = fit((0.01,), train=(x, y))
    objective = cross_entropy(probe(x), y) + 0.01 / 2 * probe.linear.weight.square().sum()
    objective.backward()
    assert float(probe.linear.weight.grad.abs().max()) < 1e-4
    assert float(probe.linear.bias.grad.abs().max()) < 1e-4


def test_a_strong_penalty_leaves_the_class_shares():
    """For l2 -> infinity W is 0 and the unpenalised bias answers the frequencies: here 3/4 and 1/4."""
    x, _ = rows(120)
    probe, _ = fit((1e4,), train=(x, (torch.arange(120) % 4 == 0).long()), classes=2, val=(x, torch.zeros(120).long()))
    torch.testing.assert_close(probabilities(probe, x), torch.tensor([[0.75, 0.25]]).double().expand(120, 2), rtol=0, atol=2e-3)


def test_a_class_without_a_label_has_probability_zero():
    x, y = rows(120, classes=3)
    y = torch.tensor([0, 2, 5])[y]
    probe, _ = fit(train=(x, y), val=(x, y), classes=6)
    p = probabilities(probe, rows(50, 2)[0])
    assert float(p[:, [1, 3, 4]].max()) < 1e-12
    assert bool(probe(x).isfinite().all())
    dense, _ = fit(train=(x, torch.arange(120) % 3), val=(x, torch.arange(120) % 3), classes=3)
    torch.testing.assert_close(p[:, [0, 2, 5]], probabilities(dense, rows(50, 2)[0]), rtol=0, atol=1e-6)


def test_validation_rows_of_unseen_classes_count_as_a_guess():
    """Their NLL is log q, not the 10 000 of the absent class's bias: here half the rows."""
    x, y = rows(120, classes=2)
    x_val, y_val = rows(80, 1, classes=2)
    _, search = fit(train=(x, y), val=(x_val, y_val))
    unseen = torch.full_like(y_val, 3)
    _, mixed = fit(train=(x, y), val=(torch.cat((x_val, x_val)), torch.cat((y_val, unseen))))
    assert mixed[0].val_nll == pytest.approx((search[0].val_nll + math.log(Q)) / 2, rel=1e-6)
    assert mixed[0].val_top1 == pytest.approx(search[0].val_top1 / 2)


def test_one_class_alone_is_certain():
    x, _ = rows(20)
    probe, search = fit(train=(x, torch.full((20,), 2)), val=(x, torch.full((20,), 2)))
    assert probabilities(probe, x)[:, 2].tolist() == [1.0] * 20
    assert search[0].val_top1 == 1


def test_the_search_keeps_the_least_validation_nll():
    """The strengths are so near one another that validation gets worse for some time before it is 1 % worse."""
    strengths = tuple(10 * 0.9**i for i in range(100))
    train, val = rows(24), rows(200, 1)
    probe, search = fit(strengths, train=train, val=val)
    best = min(search, key=lambda choice: choice.val_nll)
    p = probabilities(probe, val[0])
    assert float(-p.gather(1, val[1][:, None]).log().mean()) == pytest.approx(best.val_nll, rel=1e-5)
    assert float((p.argmax(1) == val[1]).double().mean()) == pytest.approx(best.val_top1)
    assert 0 < search.index(best) < len(search) - 2
    alone, _ = fit((best.l2,), train=train, val=val)
    torch.testing.assert_close(p, probabilities(alone, val[0]), rtol=0, atol=1e-3)


def test_the_search_goes_from_strong_to_weak_and_stops_once_validation_is_worse():
    strengths = (0.0001, 10.0, 0.001, 1.0, 0.01, 0.1, 0.00001)
    _, search = fit(strengths, train=rows(24), val=rows(200, 1))
    tried = [choice.l2 for choice in search]
    assert tried == sorted(strengths, reverse=True)[: len(tried)]
    assert len(tried) < len(strengths)
    *before, last = [choice.val_nll for choice in search]
    assert last > 1.01 * min(before)
    assert all(nll <= 1.01 * min(before[: i + 1]) for i, nll in enumerate(before))


def test_it_draws_nothing_from_the_global_stream():
    torch.manual_seed(1)
    one, _ = fit()
    torch.manual_seed(2)
    other, _ = fit()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_without_validation_rows_it_is_still_a_fit():
    """`split.val: 0` is allowed: there is nothing to choose by then, but the weights must not be the random first ones."""
    x, y = rows(120)
    probe, _ = fit((0.01,), train=(x, y), val=(x[:0], y[:0]))
    torch.testing.assert_close(probabilities(probe, x), probabilities(fit((0.01,), train=(x, y))[0], x))


def test_the_callers_features_are_left_alone():
    x, y = rows(120)
    copy = x.clone()
    fit(train=(x, y))
    assert torch.equal(x, copy)
