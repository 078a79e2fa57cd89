"""P(y|I, x) against plain probabilities, and at the ends of the range."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.evaluation.pool import Neighbours, Pool
from cspops.evaluation.predictor import Predictor, combined_log_p, image_log_p, location_log_p

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


def test_location_p_where_every_sigma_underflows():
    """Far below 0 sigma(s) is e^s, which float64 cannot hold below -745: scores -800 and -801 still give 1 / (1 + 1/e)."""
    got = location_log_p(torch.tensor([[-800.0, -801.0], [0.0, 0.0]]), torch.ones(2, dtype=torch.bool))
    torch.testing.assert_close(got.exp()[0, 0].item(), 1 / (1 + math.exp(-1)))
    torch.testing.assert_close(got[1].exp(), torch.full((2,), 0.5, dtype=torch.float64))


def test_links_differ_where_the_sigmoid_saturates():
    """Scores 10 and 20: both sigmoids are 1, so each class has one half; the softmax gives 1 / (1 + e^-10) to the second."""
    scores, there = torch.tensor([[10.0, 20.0]]), torch.tensor([True])
    assert location_log_p(scores, there).exp()[0, 1].item() == pytest.approx(0.5, abs=1e-4)
    got = location_log_p(scores, there, link="softmax").exp()[0, 1].item()
    assert got == pytest.approx(1 / (1 + math.exp(-10)), abs=1e-12)


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


def test_without_any_location_the_image_is_untouched():
    nowhere = torch.zeros(4, dtype=torch.bool)
    image = image_log_p(logits(0))
    assert torch.equal(combined_log_p(image, location_log_p(torch.full((4, 5), torch.nan), nowhere), nowhere), image)


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


class TestPredictor:
    """Look-ups in tables stand for classifiers; row 2 has no position."""

    image, location = image_log_p(logits(0)), image_log_p(logits(1))
    located = torch.tensor([True, True, False, True])
    near = Neighbours(torch.tensor([[10.0], [500.0], [torch.inf], [0.0]]).double(), torch.tensor([[0], [1], [0], [2]]))
    pool = Pool((0.5, 0.8), (1.5, 0.3), 0.7, 100.0, 50.0, 2.0)
    both = Predictor(lambda rows: TestPredictor.image[rows], lambda rows: TestPredictor.location[rows], pool, near.of)

    def test_it_says_what_each_formula_does(self):
        rows = torch.arange(4)
        got = dict(self.both.log_p(rows, rows, self.located))
        assert list(got) == ["image", "location", "combined", "pool"]
        torch.testing.assert_close(got["combined"], combined_log_p(self.image, self.location, self.located))
        torch.testing.assert_close(got["pool"], self.pool.log_p(self.image, self.location, self.near, self.located))

    def test_what_is_not_given_is_left_out(self):
        rows = torch.arange(4)
        assert list(dict(self.both.log_p(None, rows, self.located))) == ["location"]
        assert list(dict(self.both.log_p(rows, None, self.located))) == ["image"]
        assert list(dict(Predictor(None, self.both.location).log_p(rows, rows, self.located))) == ["location"]
        assert "pool" not in dict(Predictor(self.both.image, self.both.location).log_p(rows, rows, self.located))

    def test_rows_without_an_image_have_nan_and_change_no_other(self):
        imaged = torch.tensor([True, False, True, True])
        whole = dict(self.both.log_p(torch.arange(4), torch.arange(4), self.located))
        for name, log_p in self.both.log_p(imaged.nonzero()[:, 0], torch.arange(4), self.located, imaged=imaged):
            assert torch.equal(log_p[imaged], whole[name][imaged])
            assert bool(log_p[1].isnan().all()) == (name != "location")
