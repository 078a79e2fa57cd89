"""Eq. 5: closed forms, a loop, and its relation to torch's binary cross-entropy."""

import math

import pytest
import torch
from reference import presence_absence
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot, softplus
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cspops.losses.finetuning import presence_absence_in_blocks, presence_absence_released, softplus_sum


def example(n: int = 4, m: int = 4, q: int = 3, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    scores, negative = torch.randn(n, q, generator=g).double(), torch.randn(m, q, generator=g).double()
    return scores, torch.randint(q, (n,), generator=g), negative


def embeddings(n: int, m: int, q: int, d: int = 3):
    g = torch.Generator().manual_seed(0)
    loc, negative, classes = (torch.randn(k, d, generator=g, dtype=torch.float64).requires_grad_() for k in (n, m, q))
    return loc, negative, classes, torch.randint(q, (n,), generator=g)


@pytest.mark.parametrize("beta", [0.02, 1.0, 30.0])
def test_at_zero_scores_it_is_one_plus_beta_log_two(beta):
    """Each mean is - log sigma(0) = log 2; the positives count beta times."""
    got = presence_absence(torch.zeros(5, 3), torch.tensor([0, 1, 2, 1, 0]), torch.zeros(7, 3), beta=beta)
    assert got.item() == pytest.approx((1 + beta) * math.log(2), rel=1e-6)


@pytest.mark.parametrize(("n", "m", "q"), [(4, 4, 3), (2, 7, 5), (6, 1, 2)])
def test_is_the_loop(n, m, q):
    """beta E_{P^y} - log sigma + E_{N^y u N^R} - log(1 - sigma), one mean over the union of N^y and N^R."""
    scores, label, negative = example(n, m, q)
    log_pos, log_neg = [], []
    for i in range(n):
        for j in range(q):
            p = 1 / (1 + math.exp(-scores[i, j].item()))
            if j == label[i].item():
                log_pos.append(math.log(p))
            else:
                log_neg.append(math.log(1 - p))
    log_neg += [math.log(1 - 1 / (1 + math.exp(-negative[i, j].item()))) for i in range(m) for j in range(q)]
    assert (len(log_pos), len(log_neg)) == (n, n * (q - 1) + m * q)
    expected = -0.3 * sum(log_pos) / len(log_pos) - sum(log_neg) / len(log_neg)
    assert presence_absence(scores, label, negative, beta=0.3).item() == pytest.approx(expected, rel=1e-9)


def test_beta_of_one_over_2q_minus_1_is_the_unweighted_binary_cross_entropy():
    """With m = n there are n positives and n (2 q - 1) negatives. Eq. 5 at that beta is (sum of all) / (n (2 q - 1)),

    and torch's mean is (sum of all) / (2 n q): a factor of 2 q / (2 q - 1).
    """
    n, q = 6, 4
    scores, label, negative = example(n, n, q)
    target = torch.cat((one_hot(label, q), torch.zeros(n, q))).double()
    bce = binary_cross_entropy_with_logits(torch.cat((scores, negative)), target)
    got = presence_absence(scores, label, negative, beta=1 / (2 * q - 1))
    torch.testing.assert_close(got, bce * 2 * q / (2 * q - 1))


def test_one_class_has_no_labelled_negatives():
    """N^y is empty; N^R remains."""
    got = presence_absence(torch.full((2, 1), 3.0), torch.tensor([0, 0]), torch.full((2, 1), -3.0), beta=1.0)
    assert got.item() == pytest.approx(2 * math.log(1 + math.exp(-3)), rel=1e-6)


def test_huge_scores_have_a_finite_loss_and_gradient():
    """A label at -1e4 costs 1e4; so does one negative among 2 q - 1 = 3 at 1e4: beta 1e4 + 1e4 / 3."""
    scores = torch.tensor([[-1e4, 1e4]], requires_grad=True)
    got = presence_absence(scores, torch.tensor([0]), torch.full((1, 2), -1e4), beta=0.5)
    got.backward()
    assert got.item() == pytest.approx(0.5e4 + 1e4 / 3, rel=1e-6)
    torch.testing.assert_close(scores.grad, torch.tensor([[-0.5, 1 / 3]]))


def test_rows_may_come_in_any_order():
    scores, label, negative = example()
    order = torch.tensor([2, 0, 3, 1])
    one = presence_absence(scores, label, negative, beta=0.2)
    torch.testing.assert_close(presence_absence(scores[order], label[order], negative.flip(0), beta=0.2), one)


def test_the_callers_tensors_are_left_alone():
    scores, label, negative = example()
    copies = [tensor.clone() for tensor in (scores, label, negative)]
    presence_absence(scores, label, negative, beta=0.2)
    assert all(torch.equal(a, b) for a, b in zip(copies, (scores, label, negative), strict=True))


class TestInBlocks:
    @pytest.mark.parametrize("block", [1, 2, 5, 6, 100, None])
    @pytest.mark.parametrize(("n", "m", "q"), [(4, 4, 6), (3, 7, 5), (6, 0, 2), (1, 1, 1)])
    def test_value_and_gradients_are_those_of_the_simple_form(self, n, m, q, block):
        loc, negative, classes, label = embeddings(n, m, q)
        inputs = [x for x in (loc, negative, classes) if len(x)]
        simple = presence_absence(loc @ classes.T, label, negative @ classes.T, beta=0.3)
        fast = presence_absence_in_blocks(loc, negative, classes, label, beta=0.3, block=block)
        torch.testing.assert_close(fast, simple)
        expected = torch.autograd.grad(simple, inputs)
        for got, wanted in zip(torch.autograd.grad(3 * fast, inputs), expected, strict=True):
            torch.testing.assert_close(got, 3 * wanted)

    def test_several_rows_of_one_class(self):
        loc, negative, classes, _ = embeddings(5, 2, 4)
        label = torch.tensor([3, 3, 3, 0, 3])
        simple = presence_absence(loc @ classes.T, label, negative @ classes.T, beta=2.0)
        fast = presence_absence_in_blocks(loc, negative, classes, label, beta=2.0, block=2)
        torch.testing.assert_close(fast, simple)
        torch.testing.assert_close(torch.autograd.grad(fast, classes), torch.autograd.grad(simple, classes))

    def test_huge_scores_have_a_finite_loss_and_gradient(self):
        """As above: a label at -1e4, another class at 1e4."""
        loc = torch.tensor([[1e4]], requires_grad=True)
        got = presence_absence_in_blocks(
            loc, torch.tensor([[-1e4]]), torch.tensor([[-1.0], [1.0]]), torch.tensor([0]), beta=0.5
        )
        got.backward()
        assert got.item() == pytest.approx(0.5e4 + 2e4 / 3, rel=1e-6)  # the random place scores 1e4 with class 0
        assert bool(loc.grad.isfinite().all())

    @pytest.mark.parametrize("frozen", [0, 2])
    def test_what_is_frozen_gets_no_gradient(self, frozen):
        loc, negative, classes, label = embeddings(3, 3, 4)
        inputs = [x.detach() if i == frozen else x for i, x in enumerate((loc, negative, classes))]
        presence_absence_in_blocks(*inputs, label, beta=0.3).backward()
        assert [x.grad is None for x in inputs] == [i == frozen for i in range(3)]

    def test_without_gradients_the_value_is_the_same(self):
        loc, negative, classes, label = embeddings(3, 3, 4)
        with torch.no_grad():
            value = presence_absence_in_blocks(loc, negative, classes, label, beta=0.3)
        assert not value.requires_grad
        torch.testing.assert_close(value, presence_absence_in_blocks(loc, negative, classes, label, beta=0.3).detach())

    def test_no_tensor_of_rows_by_classes_is_ever_made(self):
        """The largest has rows x block elements, 20 x 8, where all scores would be 20 x 100."""
        loc, negative, classes, label = embeddings(10, 10, 100)
        largest = 0

        class Sizes(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                nonlocal largest
                out = function(*args, **(kwargs or {}))
                for tensor in tree_leaves(out):
                    largest = max(largest, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
                return out

        with Sizes():
            presence_absence_in_blocks(loc, negative, classes, label, beta=0.3, block=8).backward()
        assert largest == max(classes.numel(), 20 * 8)

    @pytest.mark.parametrize("wrong", [-1, 4])
    def test_a_label_that_is_no_class_is_an_error(self, wrong):
        loc, negative, classes, _ = embeddings(2, 2, 4)
        with pytest.raises(ValueError, match=r"labels lie in 0\.\.3"):
            presence_absence_in_blocks(loc, negative, classes, torch.tensor([0, wrong]), beta=0.3)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(("n", "m", "q"), [(4, 4, 3), (3, 5, 2), (2, 3, 1)])
def test_the_released_weighting_is_its_loop(n, m, q, weight):
    """Mean over n q entries, q times - log sigma at the label and - log(1 - sigma) elsewhere; plus weight times the mean

    of - log(1 - sigma) over the m q random entries (the released code without its 1e-5).
    """
    scores, label, negative = example(n, m, q)
    total = 0.0
    for i in range(n):
        for j in range(q):
            p = 1 / (1 + math.exp(-scores[i, j].item()))
            total -= q * math.log(p) if j == label[i].item() else math.log(1 - p)
    background = [-math.log(1 - 1 / (1 + math.exp(-s))) for s in negative.flatten().tolist()]
    expected = total / (n * q) + weight * sum(background) / len(background)
    got = presence_absence_released(scores, label, negative, weight_background=weight)
    assert got.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("q", [2, 5, 30])
def test_the_released_weighting_is_a_multiple_of_eq_5(q):
    """n positives with weight 1 / n, n (2 q - 1) negatives with weight 1 / (n q): (2 q - 1) / q times Eq. 5."""
    scores, label, negative = example(6, 6, q)
    got = presence_absence_released(scores, label, negative)
    torch.testing.assert_close(got, (2 * q - 1) / q * presence_absence(scores, label, negative, beta=q / (2 * q - 1)))


@pytest.mark.parametrize("n", [0, 1, 100, 250])
@pytest.mark.parametrize("scale", [0.0, 3.0, 1e4])
def test_the_sum_of_softplus_is_torchs_for_any_number_of_rows(n, scale):
    """At 0 each sigma(|s|) is 1/2, the least there is: a product of too many of them would be 0."""
    scores = scale * torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    expected = softplus(scores.double()).sum()
    assert softplus_sum(scores).item() == pytest.approx(expected.item(), rel=1e-6, abs=6e-8 * 3 * n)


def test_a_score_of_minus_infinity_adds_nothing():
    assert softplus_sum(torch.tensor([[-math.inf, 0.0]])).item() == pytest.approx(math.log(2))
