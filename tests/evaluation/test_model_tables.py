"""What a model table tells, against the tables of log P."""

import pytest
import torch

from cspops.evaluation.metrics import best_classes, judge
from cspops.evaluation.model_tables import model_tables
from cspops.evaluation.pool import Neighbours, Pool
from cspops.evaluation.predictor import Predictor, image_log_p, location_log_p

N, Q, K = 6, 700, 10
G = torch.Generator().manual_seed(0)
LABEL = torch.randint(Q, (N,), generator=G)
FUSION = torch.randn(N, Q, generator=G).double().log_softmax(1)
NEAR = Neighbours(torch.rand(N, 5, generator=G).double() * 300, torch.randint(Q, (N, 5), generator=G))
POOL = Pool((0.5, 0.8), (1.5, 0.3), 0.7, 100.0, 50.0, 2.0)
EVERYWHERE = torch.ones(N, dtype=torch.bool)


def scores(scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    image, location = scale * torch.randn(2, N, Q, generator=torch.Generator().manual_seed(1))
    return image, location


@pytest.mark.parametrize(
    ("scale", "located", "link"),
    [
        (3.0, EVERYWHERE, "sigmoid"),
        (3.0, torch.arange(N) > 1, "sigmoid"),
        (3.0, EVERYWHERE, "softmax"),
        (60.0, EVERYWHERE, "sigmoid"),  # sigma is 1 of several scores: they share the first place
        (900.0, EVERYWHERE, "sigmoid"),  # P underflows
    ],
)
def test_tables_are_those_of_the_predictor(scale, located, link):
    image, location = scores(scale)
    predictor = Predictor(
        lambda _: image_log_p(image),
        lambda _: location_log_p(location, located, link=link),
        POOL,
        lambda _: NEAR,
        lambda *_: FUSION,
    )
    want = dict(predictor.log_p(0, 0, located))
    got = model_tables(image, location, located, link=link, pool=POOL, near=NEAR, fusion=FUSION)
    names = []
    for name, table in got:
        judgement, classes = table.judge(LABEL, K)
        for found, expected in zip(judgement, judge(want[name], LABEL), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        values = best_classes(want[name], K)[0]
        torch.testing.assert_close(want[name].gather(1, classes), values, rtol=0, atol=1e-12)
        torch.testing.assert_close(table.log_p(classes), values, rtol=0, atol=1e-12)
        names.append(name)
    assert names == list(want)


def test_of_no_row_there_is_an_empty_judgement_of_each_model():
    none = torch.empty(0, Q)
    got = model_tables(none, none, EVERYWHERE[:0])
    assert [len(table.judge(LABEL[:0], K)[0].rank) for _, table in got] == [0, 0, 0]
