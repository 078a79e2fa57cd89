"""Each class by itself: hits as the metrics count them, and the commonest mistake."""

import torch

from cspops.evaluation.metrics import judge
from cspops.evaluation.per_class import NONE, per_class, sole_best

CLASSES = ["a", "b", "c"]


def test_the_sole_best_class_is_the_label_exactly_where_the_metrics_see_a_hit():
    log_p = torch.log_softmax(torch.randint(0, 3, (300, 3), generator=torch.Generator().manual_seed(0)).double(), 1)
    label = torch.arange(300) % 3
    assert torch.equal(sole_best(log_p) == label, judge(log_p, label).hits)
    assert (sole_best(torch.zeros(2, 3)) == NONE).all()


def test_counts_by_hand():
    """Two seeds, five rows; class b has the most rows, class c none."""
    label = torch.tensor([0, 1, 1, 1, 0])
    best = torch.tensor([[0, 1, 2, 0, NONE], [0, 1, 2, 2, 1]])
    [of_b, of_a] = per_class({"image": best}, label, CLASSES)
    assert of_b == {
        "class": "b", "rows": 3, "top1": {"image": 33.3333}, "taken_for": {"image": {"class": "c", "share": 50.0}},
    }  # fmt: skip
    assert of_a == {
        "class": "a", "rows": 2, "top1": {"image": 50.0}, "taken_for": {"image": {"class": "b", "share": 25.0}},
    }  # fmt: skip


def test_of_equal_mistakes_the_first_class_and_none_where_there_is_no_mistake():
    found = per_class({"m": torch.tensor([[2, 1, 1]])}, torch.tensor([0, 0, 1]), CLASSES)
    assert found[0]["taken_for"]["m"] == {"class": "b", "share": 50.0}
    assert found[1]["taken_for"]["m"] is None
