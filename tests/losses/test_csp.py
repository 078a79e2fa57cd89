"""Eq. 3 and Eq. 4 against pair-by-pair transcriptions with the math module, for every combination of terms."""

import math
from typing import NamedTuple

import pytest
import torch

from cspops.losses import csp

TERMS = ("B", "BL", "BD", "BLD")
MC = {"tau_batch": 0.7, "tau_locations": 0.3, "tau_dropout": 1.9, "weight_locations": 0.6, "weight_dropout": 2.5}
NCE = {"weight_locations": 0.6, "weight_dropout": 2.5}
N, C, D = 5, 3, 4


class Batch(NamedTuple):
    loc: torch.Tensor
    image: torch.Tensor
    negative: torch.Tensor
    again: torch.Tensor

    def keywords(self, terms: str) -> dict:
        return {
            "terms": terms,
            "neg_loc_emb": self.negative if "L" in terms else None,
            "loc_emb_2": self.again if "D" in terms else None,
        }


def batch(seed: int = 0, dtype: torch.dtype = torch.float64) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(*(torch.randn(*s, generator=g, dtype=dtype) for s in ((N, D), (N, D), (N, C, D), (N, D))))


def cos(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def naive_mc(pairs: list[tuple[float, list[float]]], tau: float) -> float:
    """Eq. 2 with - log: for each (score of the positive, scores of its negatives)."""
    total = 0.0
    for pos, negatives in pairs:
        top = math.exp(pos / tau)
        total += -math.log(top / (top + sum(math.exp(s / tau) for s in negatives)))
    return total / len(pairs)


def naive_nce(pos: list[float], neg: list[float]) -> float:
    """Eq. 1; an empty set adds nothing."""
    sigma = [math.exp(s) / (1 + math.exp(s)) for s in pos]
    sigma_neg = [math.exp(s) / (1 + math.exp(s)) for s in neg]
    out = 0.0
    if pos:
        out -= sum(math.log(p) for p in sigma) / len(pos)
    if neg:
        out -= sum(math.log(1 - p) for p in sigma_neg) / len(neg)
    return out


def naive_parts(b: Batch, loss: str) -> dict[str, float]:
    """All of P^X, N^B, N^L, P^D, N^D of section 3.2, pair by pair."""
    loc, image, negative, again = (tensor.tolist() for tensor in b)
    p_x = [cos(loc[i], image[i]) for i in range(N)]
    n_b = [[cos(loc[i], image[j]) for j in range(N) if j != i] for i in range(N)]
    n_l = [[cos(negative[i][j], image[i]) for j in range(C)] for i in range(N)]
    p_d = [cos(loc[i], again[i]) for i in range(N)]
    n_d = [[cos(loc[i], again[j]) for j in range(N) if j != i] for i in range(N)]
    if loss == "mc":
        return {
            "B": naive_mc(list(zip(p_x, n_b, strict=True)), MC["tau_batch"]),
            "L": naive_mc(list(zip(p_x, n_l, strict=True)), MC["tau_locations"]),
            "D": naive_mc(list(zip(p_d, n_d, strict=True)), MC["tau_dropout"]),
        }
    return {
        "B": naive_nce(p_x, [s for row in n_b for s in row]),
        "L": naive_nce([], [s for row in n_l for s in row]),
        "D": naive_nce(p_d, [s for row in n_d for s in row]),
    }


def compute(b: Batch, loss: str, terms: str) -> dict[str, torch.Tensor]:
    function, settings = {"mc": (csp.mc_loss, MC), "nce": (csp.nce_loss, NCE)}[loss]
    return function(b.loc, b.image, **b.keywords(terms), **settings)


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("loss", ["mc", "nce"])
class TestBothLosses:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_is_the_double_loop(self, loss, terms, seed):
        b = batch(seed)
        got = {key: value.item() for key, value in compute(b, loss, terms).items()}
        naive = naive_parts(b, loss)
        weight = {"B": 1.0, "L": 0.6, "D": 2.5}
        expected = {term: naive[term] for term in terms}
        expected["total"] = sum(weight[term] * naive[term] for term in terms)
        assert got == pytest.approx(expected, rel=1e-7)

    def test_names_the_terms_in_force_and_no_other(self, loss, terms):
        """The embeddings of other terms are None here, so that a term that is not named cannot be computed."""
        assert set(compute(batch(), loss, terms)) == {*terms, "total"}

    def test_the_order_of_the_rows_does_not_matter(self, loss, terms):
        b, order = batch(), torch.tensor([2, 0, 4, 1, 3])
        shuffled = Batch(*(tensor[order] for tensor in b))
        for key, value in compute(b, loss, terms).items():
            torch.testing.assert_close(compute(shuffled, loss, terms)[key], value)

    def test_which_location_goes_with_which_image_does_matter(self, loss, terms):
        b = batch()
        shuffled = b._replace(image=b.image[torch.tensor([1, 2, 3, 4, 0])])
        assert abs(compute(b, loss, terms)["B"] - compute(shuffled, loss, terms)["B"]) > 1e-3

    def test_rows_of_zeros_give_a_finite_loss_and_gradient(self, loss, terms):
        b = batch(dtype=torch.float32)
        for tensor in b:
            tensor[1] = 0
            tensor.requires_grad_()
        total = compute(b, loss, terms)["total"]
        total.backward()
        assert total.isfinite()
        for tensor in b:
            assert tensor.grad is None or bool(tensor.grad.isfinite().all())

    def test_every_embedding_in_force_gets_a_gradient(self, loss, terms):
        b = Batch(*(tensor.requires_grad_() for tensor in batch()))
        compute(b, loss, terms)["total"].backward()
        used = {"loc", "image"} | ({"negative"} if "L" in terms else set()) | ({"again"} if "D" in terms else set())
        assert {name for name in Batch._fields if getattr(b, name).grad is not None} == used
        assert all(bool((getattr(b, name).grad != 0).any(-1).all()) for name in used)


@pytest.mark.parametrize("loss", [csp.mc_loss, csp.nce_loss])
@pytest.mark.parametrize(("terms", "missing"), [("BL", "neg_loc_emb"), ("BD", "loc_emb_2")])
def test_a_term_without_its_embeddings_is_an_error(loss, terms, missing):
    b = batch()
    with pytest.raises(ValueError, match=missing):
        loss(b.loc, b.image, terms=terms)


def test_mc_of_identical_embeddings_is_log_of_the_candidates():
    """All cosines are 1: B and D have n candidates each, L has 1 + c, so the total is 2 log n + log(1 + c)."""
    one = torch.ones(N, D, dtype=torch.float64)
    parts = csp.mc_loss(one, one, neg_loc_emb=one[:, None].expand(N, C, D), loc_emb_2=one)
    assert parts["total"].item() == pytest.approx(2 * math.log(N) + math.log(1 + C), rel=1e-9)


def test_nce_of_orthogonal_embeddings_is_five_log_two():
    """All cosines are 0: B and D have 2 log 2 each, L (which has no positives) log 2."""
    x, y, z = torch.eye(3).repeat_interleave(N, 0).split(N)
    parts = csp.nce_loss(x, y, neg_loc_emb=z[:, None].expand(N, C, 3), loc_emb_2=y)
    assert parts["total"].item() == pytest.approx(5 * math.log(2), rel=1e-6)


def test_weights_of_zero_leave_b():
    b = batch()
    parts = csp.mc_loss(b.loc, b.image, **b.keywords("BLD"), weight_locations=0.0, weight_dropout=0.0)
    assert parts["total"] == parts["B"]


def test_without_dropout_the_dropout_positives_have_cosine_one():
    """e = e' then, and the loss D is the mean over i of log sum_j e^(cos_ij / t) - 1 / t."""
    b = batch()
    parts = csp.mc_loss(b.loc, b.image, loc_emb_2=b.loc.clone(), terms="BD", tau_dropout=0.5)
    unit = b.loc / b.loc.norm(dim=1, keepdim=True)
    expected = ((unit @ unit.T / 0.5).logsumexp(1) - 1 / 0.5).mean()
    torch.testing.assert_close(parts["D"], expected, rtol=1e-7, atol=0)


def test_the_symmetric_variant_is_the_mean_of_both_directions():
    """B of (location, image) and B of (image, location), pair by pair; L and D have no other direction."""
    b = batch()
    naive = naive_parts(b, "mc")
    swapped = naive_parts(b._replace(loc=b.image, image=b.loc), "mc")
    got = csp.mc_loss(b.loc, b.image, **b.keywords("BLD"), **MC, symmetric=True)
    both = (naive["B"] + swapped["B"]) / 2
    assert got["B"].item() == pytest.approx(both, rel=1e-7)
    assert abs(both - naive["B"]) > 1e-3
    assert got["total"].item() == pytest.approx(both + 0.6 * naive["L"] + 2.5 * naive["D"], rel=1e-7)


def test_a_temperature_that_is_a_tensor_gets_the_gradient_of_its_number():
    """Against central differences in tau."""
    b, h = batch(), 1e-6
    for name in ("tau_batch", "tau_locations", "tau_dropout"):
        tau = torch.tensor(MC[name], dtype=torch.float64, requires_grad=True)
        csp.mc_loss(b.loc, b.image, **b.keywords("BLD"), **MC | {name: tau})["total"].backward()
        up, down = (
            csp.mc_loss(b.loc, b.image, **b.keywords("BLD"), **MC | {name: MC[name] + step})["total"].item() for step in (h, -h)
        )
        assert tau.grad.item() == pytest.approx((up - down) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("loss", [csp.mc_loss, csp.nce_loss])
@pytest.mark.parametrize("terms", ["", "L", "D", "LD", "DLB", "BDL", "X", "BX", "b", "BB"])
def test_other_terms_are_an_error_that_names_those_there_are(loss, terms):
    """`BX` would else be taken for B, and `L` for BL."""
    some = batch()
    with pytest.raises(ValueError, match="B, BL, BD, BLD"):
        loss(some.loc, some.image, neg_loc_emb=some.negative, loc_emb_2=some.again, terms=terms)
