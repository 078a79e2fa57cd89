"""GeoKR's two losses against a loop and in closed form."""

import math

import pytest
import torch

from cspops.losses.image import land_cover_loss


def case(n: int = 6, c: int = 4):
    draws = torch.Generator().manual_seed(0)
    student, teacher, share = (torch.randn(n, c, generator=draws, dtype=torch.float64) for _ in range(3))
    return student, teacher, share.softmax(1)


@pytest.mark.parametrize(("reduction", "count"), [("entries", 6 * 4), ("rows", 6)])
def test_it_is_that_of_a_double_loop(reduction, count):
    student, teacher, share = case()
    cover = consistency = 0.0
    for s, t, p in zip(student.tolist(), teacher.tolist(), share.tolist(), strict=True):
        sum_s, sum_t = sum(map(math.exp, s)), sum(map(math.exp, t))
        for j in range(4):
            cover -= p[j] * math.log(math.exp(s[j]) / sum_s) / count
            consistency -= math.exp(s[j]) / sum_s * math.log(math.exp(t[j]) / sum_t) / count
    parts = land_cover_loss(student, teacher, share, reduction=reduction)
    assert float(parts["land_cover"]) == pytest.approx(cover)
    assert float(parts["consistency"]) == pytest.approx(consistency)
    assert float(parts["total"]) == pytest.approx(cover + consistency)


@pytest.mark.parametrize("c", [2, 8, 31])
def test_equal_scores_give_log_of_the_classes_over_their_number(c):
    """- sum_j p_j log(1/c) = ln c whatever p, and the same of the uniform student; the mean over n c divides by c."""
    share = torch.rand(5, c, generator=torch.Generator().manual_seed(0)) + 0.1
    share = share / share.sum(1, keepdim=True)
    parts = land_cover_loss(torch.zeros(5, c), torch.zeros(5, c), share, reduction="entries")
    assert float(parts["land_cover"]) == pytest.approx(math.log(c) / c, rel=1e-5)
    assert float(parts["consistency"]) == pytest.approx(math.log(c) / c, rel=1e-5)


def test_it_is_least_where_the_student_says_what_is_there():
    """Cross-entropy is the entropy of p plus a divergence: no other student is better than log p."""
    _, _, share = case()
    best = land_cover_loss(share.log(), share.log(), share, reduction="rows")["land_cover"]
    assert float(best) == pytest.approx(float(-(share * share.log()).sum(1).mean()))
    for seed in range(5):
        other = share.log() + 0.3 * torch.randn(share.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert float(land_cover_loss(other, share.log(), share, reduction="rows")["land_cover"]) > float(best)


def test_a_row_without_land_cover_has_no_gradient_of_that_part():
    student, teacher, share = case()
    student.requires_grad_()
    share[2] = 0
    land_cover_loss(student, teacher, share, reduction="entries")["land_cover"].backward()
    assert float(student.grad[2].abs().max()) == 0
    assert float(student.grad[3].abs().max()) > 0
