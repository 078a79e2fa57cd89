"""Thresholds against a loop over all of them."""

import pytest
import torch

from cspops.errors import DataError, ParamsError
from cspops.evaluation.thresholds import Rule, Threshold


def every(p: torch.Tensor, present: torch.Tensor) -> list[Threshold]:
    out = []
    for value in sorted(set(p.tolist()), reverse=True):
        said = p >= value
        precision = int((said & present).sum()) / int(said.sum())
        recall = int((said & present).sum()) / int(present.sum())
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        out.append(Threshold(value, precision, recall, f1))
    return out


def rows(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    p = (torch.rand(60, generator=draws, dtype=torch.float64) * 20).round() / 20  # with ties
    present = torch.rand(60, generator=draws) < p.float()
    return p, present


@pytest.mark.parametrize("seed", range(5))
def test_each_rule_takes_the_threshold_that_it_describes(seed: int) -> None:
    p, present = rows(seed)
    known = every(p, present)

    def same(found: Threshold, expected: Threshold) -> bool:
        pairs = zip(vars(found).values(), vars(expected).values(), strict=True)
        return all(a == pytest.approx(b, rel=1e-6) for a, b in pairs)

    lpt = Rule.of("lpt").choose(p, present)
    assert lpt.value == float(p[present].min()) and lpt.recall == 1
    best = max(one.f1 for one in known)
    assert same(Rule.of("f1").choose(p, present), next(one for one in known if one.f1 > best - 1e-12))
    precise = [one for one in known if one.precision >= 0.8]
    if precise:
        assert same(Rule.of("precision=0.8").choose(p, present), precise[-1])
    assert float(Rule.of("F1").choose(p, present).f1) == Rule.of(" f1 ").choose(p, present).f1


def test_a_precision_that_no_threshold_has_is_refused_with_the_highest() -> None:
    p, present = torch.tensor([0.9, 0.8, 0.7]).double(), torch.tensor([False, True, True])
    with pytest.raises(DataError, match=r"a precision of 0\.9: the highest is 0\.667"):
        Rule.of("precision=0.9").choose(p, present)


def test_one_presence_alone() -> None:
    assert Rule.of("lpt").choose(torch.tensor([0.3], dtype=torch.float64), torch.tensor([True])) == Threshold(
        0.3, 1.0, 1.0, 1.0
    )


@pytest.mark.parametrize(
    "text", ["", "ltp", "f1=0.5", "precision", "precision=2", "precision=", "0", "1.5", "nan", "-0.2", "inf"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="is no rule"):
        Rule.of(text)


@pytest.mark.parametrize(("text", "number"), [("0.2", 0.2), ("1", 1.0), (".5", 0.5), ("1e-3", 1e-3)])
def test_a_probability_is_a_threshold(text: str, number: float) -> None:
    assert Rule.of(text) == Rule("given", number)
