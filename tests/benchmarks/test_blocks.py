"""Evaluation in blocks against `combine` in float64 and against plain sorting."""

import math

import pytest
import torch

from benchmarks.blocks import combined_in_blocks, top, top_in_blocks
from cspops.evaluation import combine
from cspops.evaluation.metrics import ranks


def example(n: int = 23, q: int = 17, scale: float = 5.0):
    g = torch.Generator().manual_seed(0)
    logits, scores = scale * torch.randn(n, q, generator=g), scale * torch.randn(n, q, generator=g)
    located = torch.rand(n, generator=g) < 0.7
    scores[~located] = math.nan
    return logits, scores, located


def in_blocks(logits, scores, located, rows: int, link: str = "sigmoid"):
    return list(combined_in_blocks(lambda now: logits[now], lambda now: scores[now], located, link=link, rows=rows))


@pytest.mark.parametrize("rows", [1, 5, 23, 100])
@pytest.mark.parametrize("scale", [0.1, 5.0])
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_is_combine_in_float64(rows, scale, link):
    """float32 rounds logits, log sigma and their sum (each below 64, so by 2^-19 at most), and log sum exp likewise."""
    logits, scores, located = example(scale=scale)
    image, location = combine.image_log_p(logits), combine.location_log_p(scores, located, link=link)
    expected = combine.combined_log_p(image, location, located)
    blocks = in_blocks(logits, scores, located, rows, link)
    assert [row for block in blocks for row in range(block.rows.start, block.rows.stop)] == list(range(23))
    got = torch.cat([block.combined for block in blocks])
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=4 * 2**-19)
    for name, wanted in (("image", image), ("location", location)):
        scores_of = torch.cat([getattr(block, name) for block in blocks]).double()
        torch.testing.assert_close(scores_of.log_softmax(1), wanted, rtol=0, atol=4 * 2**-19)


def test_within_20_of_the_best_the_error_is_below_1e_5_for_thousands_of_classes():
    """What the docstring says, at 8,142 classes and logits up to about 30."""
    logits, scores, located = example(40, 8142, 7.0)
    image, location = combine.image_log_p(logits), combine.location_log_p(scores, located)
    expected = combine.combined_log_p(image, location, located)
    got = torch.cat([block.combined for block in in_blocks(logits, scores, located, 16)])
    near = expected > expected.max(1, keepdim=True).values - 20
    assert float((got - expected)[near].abs().max()) < 1e-5


def test_where_all_are_located_nothing_is_replaced():
    logits, scores, _ = example()
    scores = scores.nan_to_num()
    located = torch.ones(23, dtype=torch.bool)
    (block,) = in_blocks(logits, scores, located, 100)
    torch.testing.assert_close(block.combined, (logits + torch.nn.functional.logsigmoid(scores)).log_softmax(1))


def test_scores_that_underflow_a_probability_still_rank():
    """sigma(-200) is 0 in float32; its log is not."""
    block = in_blocks(torch.zeros(1, 3), torch.tensor([[-200.0, -190.0, -210.0]]), torch.tensor([True]), 1)[0]
    torch.testing.assert_close(block.combined, torch.tensor([[-10.0, 0.0, -20.0]]), rtol=0, atol=1e-4)


def test_ranks_and_top_are_those_of_sorting():
    """Without ties the rank is the place in the sorted row; with ties the mean of the places."""
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.2], [3.0, 1.0, 2.0, 2.0]])
    label = torch.tensor([3, 2])
    rank, best_two = ranks(scores, label), top(scores, 2)
    for row, own, got, best in zip(scores.tolist(), label.tolist(), rank.tolist(), best_two.tolist(), strict=True):
        places = [place for place, value in enumerate(sorted(row, reverse=True), 1) if value == row[own]]
        assert got == sum(places) / len(places)
        assert [row[j] for j in best] == sorted(row, reverse=True)[:2]
    assert top(scores, 10).shape == (2, 4)


@pytest.mark.parametrize("q", [3, 17, 640, 641, 1300, 8142])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_top_is_that_of_sorting(q, k):
    scores = torch.randn(7, q, generator=torch.Generator().manual_seed(q)).double()
    expected = torch.tensor([sorted(range(q), key=lambda j: -row[j])[:k] for row in scores.tolist()])
    assert torch.equal(top(scores, k), expected)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("q", [4, 1500])
def test_the_best_classes_are_those_of_combine_in_float64(q, link):
    logits, scores, located = example(23, q)
    image, location = combine.image_log_p(logits), combine.location_log_p(scores, located, link=link)
    expected = combine.combined_log_p(image, location, located).topk(min(5, q), 1).indices
    got = top_in_blocks(lambda now: logits[now], lambda now: scores[now], located, 5, link=link, rows=8)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("q", [40, 2000])
def test_classes_whose_probability_underflows_are_ranked_by_its_logarithm(q):
    """Logits and scores down to -400, where softmax and sigma are 0 in float32: only the logarithms tell them apart."""
    g = torch.Generator().manual_seed(1)
    logits, scores = 400 * torch.rand(9, q, generator=g) - 400, 400 * torch.rand(9, q, generator=g) - 400
    located = torch.ones(9, dtype=torch.bool)
    got = top_in_blocks(lambda now: logits[now], lambda now: scores[now], located, 20, rows=4)
    expected = (logits.double() + torch.nn.functional.logsigmoid(scores.double())).topk(20, 1).indices
    assert torch.equal(got, expected)
