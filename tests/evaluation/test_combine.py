"""P(y|I, x) against plain probabilities, and at the ends of the range."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.evaluation.combine import TABLE, combined_log_p, image_log_p, location_log_p, row_blocks

EVERYWHERE = torch.tensor([True, True, True, True])


def logits(seed: int, n: int = 4, q: int = 5) -> torch.Tensor:
    return 3 * torch.randn(n, q, generator=torch.Generator().manual_seed(seed))


def test_is_the_product_of_probabilities():
    """P(y|I) P(y|x) with P(y|I) = softmax, P(y|x) proportional to sigma, normalised over y (section 3.4)."""
    image, location = logits(0), logits(1)
    product = image.double().softmax(1) * location.double().sigmoid()
    expected = product / product.sum(1, keepdim=True)
    got = combined_log_p(image_log_p(image), location_log_p(location, EVERYWHERE), EVERYWHERE)
    torch.testing.assert_close(got.exp(), expected)


def test_location_p_is_the_normalised_sigmoid():
    location = logits(1)
    expected = location.double().sigmoid() / location.double().sigmoid().sum(1, keepdim=True)
    torch.testing.assert_close(location_log_p(location, EVERYWHERE).exp(), expected)


def test_location_p_of_a_softmax_classifier_is_the_softmax():
    location = logits(1)
    got = location_log_p(location, EVERYWHERE, link="softmax")
    torch.testing.assert_close(got.exp(), location.double().softmax(1))
    assert not torch.allclose(got, location_log_p(location, EVERYWHERE))


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("q", [1, 8142])
def test_one_class_and_thousands_and_scores_at_the_ends(link, q):
    """A row of -1e4 and 1e4, one of nan without a position: every log P is finite and each row sums to one."""
    scores = torch.full((2, q), 1e4)
    scores[0, ::2] = -1e4
    scores[1] = torch.nan
    located = torch.tensor([True, False])
    location = location_log_p(scores, located, link=link)
    image = image_log_p(scores[[0, 0]].flip(1))
    for log_p in (location, image, combined_log_p(image, location, located)):
        assert bool(log_p.isfinite().all())
        torch.testing.assert_close(log_p.logsumexp(1), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)


def test_without_a_location_the_image_decides_alone():
    image = image_log_p(logits(0))
    located = torch.tensor([True, False, True, False])
    got = combined_log_p(image, location_log_p(logits(1), located), located)
    assert torch.equal(got[~located], image[~located])
    assert not torch.allclose(got[located], image[located])


def test_scores_of_a_missing_location_may_be_nan():
    located = torch.tensor([True, False, True, True])
    scores = logits(1)
    scores[1] = torch.nan
    location = location_log_p(scores, located)
    torch.testing.assert_close(location[1].exp(), torch.full((5,), 0.2, dtype=torch.float64))
    poisoned = location.clone()
    poisoned[1] = torch.nan
    for prior in (location, poisoned):
        assert bool(combined_log_p(image_log_p(logits(0)), prior, located).isfinite().all())


@given(
    st.lists(st.lists(st.sampled_from([-1e4, -50.0, 0.0, 1.0, 50.0, 1e4]), min_size=3, max_size=3), min_size=2, max_size=2),
    st.lists(st.booleans(), min_size=1, max_size=1),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_normalised_and_never_nan(rows, located):
    image, location = torch.tensor(rows[:1]), torch.tensor(rows[1:])
    there = torch.tensor(located)
    for log_p in (
        image_log_p(image),
        location_log_p(location, there),
        combined_log_p(image_log_p(image), location_log_p(location, there), there),
    ):
        assert bool(log_p.isfinite().all())
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_product_that_would_underflow_still_ranks():
    """Image: -1e4 for classes 1 and 2; location rules out class 0 by 2e4. As probabilities all three would be 0."""
    image = torch.tensor([[0.0, -1e4, -1e4]])
    location = torch.tensor([[-2e4, 0.0, 5.0]])
    there = torch.tensor([True])
    assert combined_log_p(image_log_p(image), location_log_p(location, there), there).argmax().item() == 2


def test_a_uniform_location_leaves_the_image_as_it_is():
    image = image_log_p(logits(0))
    torch.testing.assert_close(combined_log_p(image, location_log_p(torch.zeros(4, 5), EVERYWHERE), EVERYWHERE), image)


@pytest.mark.parametrize(("n", "q"), [(0, 5), (1, 5), (23, 5), (23, 4000), (3, 2**22)])
def test_row_blocks_are_all_rows_in_order_and_no_larger_than_a_table(n, q):
    rows = torch.arange(n) * 2
    parts = row_blocks(rows, q)
    assert torch.equal(torch.cat([torch.empty(0, dtype=torch.long), *parts]), rows)
    assert all(len(part) > 0 and (len(part) * q <= TABLE or len(part) == 1) for part in parts)
