"""Fusion heads where the answer is known: what a product cannot tell, where training begins, and the domain loss."""

import math
from dataclasses import replace

import pytest
import torch

from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params.location_classifiers import Fusion
from cspops.training.fusion import NO_DOMAIN, Domains, Pairs, domain_loss, train_fusion
from cspops.training.loop import Run

RUN = Run(0, torch.device("cpu"))
HEADS = ["concat", "film"]
ENCODER = {
    "encoding": {"name": "xyz"},
    "network": {"name": "ffn", "hidden_layers": 0, "hidden": 4, "activation": "relu", "dropout": 0.0}
    | {"layer_norm": False, "output_activation": False},
    "dim": 2,
}


def settings(head: str, **others: float) -> Fusion:
    values = {
        "hidden": 32, "steps": 300, "learning_rate": 0.01, "weight_decay": 0.0, "dropout": 0.0, "domain_weight": 0.0,
        "patience": 0,
    }  # fmt: skip
    return Fusion.model_validate({"head": head} | values | others)


def location(weight: torch.Tensor, bias: torch.Tensor | None = None) -> LocationClassifier:
    """A classifier of which training takes T and b alone."""
    embedding = ClassEmbedding(2, len(weight), bias=True)
    with torch.no_grad():
        embedding.linear.weight.copy_(weight)
        embedding.linear.bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return LocationClassifier(LocationEncoder(ENCODER), embedding, link="softmax")


def exclusive_or(n: int) -> Pairs:
    """Image and place each a fair coin (and noise), the class whether they differ: either alone tells nothing of it."""
    stream = torch.Generator().manual_seed(n)
    a, b = torch.randint(2, (2, n), generator=stream)
    noise = 0.1 * torch.randn(2, n, 2, generator=stream)
    coins = torch.stack((2.0 * a - 1, torch.zeros(n)), 1), torch.stack((2.0 * b - 1, torch.zeros(n)), 1)
    return Pairs(coins[0] + noise[0], coins[1] + noise[1], a ^ b, 2)


@pytest.mark.parametrize("head", HEADS)
def test_a_fusion_learns_what_no_product_can_tell(head: str) -> None:
    """Any product f(a) g(b) has log odds u(a) + v(b); summed with the signs of the XOR over its four cells they cancel.

    So its mean NLL over the cells is at least ln 2, which the start has; the class is a function of both, so that the least
    NLL of all is 0.
    """
    few, val = exclusive_or(256), exclusive_or(512)
    trained = train_fusion(few, location(torch.zeros(2, 2)), settings(head), val=val, domains=None, run=RUN)
    assert trained.start_nll == pytest.approx(math.log(2), abs=0.01)
    with torch.no_grad():
        log_p = trained.head(val.image_features, val.loc_emb).log_softmax(1)
    assert (log_p.argmax(1) == val.label).all()
    nll = float(-log_p.gather(1, val.label[:, None]).mean())
    assert nll < 0.05 and nll == pytest.approx(trained.val_nll, abs=1e-5)
    assert trained.step > 0


def independent(n: int, *, classes: int = 3) -> Pairs:
    """Image and place each a noisy vector of the class, independent given it."""
    stream = torch.Generator().manual_seed(n)
    label = torch.randint(classes, (n,), generator=stream)
    centres = torch.randn(classes, 4, generator=torch.Generator().manual_seed(1))
    x = centres[label] + torch.randn(n, 4, generator=stream)
    return Pairs(x[:, :2], x[:, 2:], label, classes + 1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("start", ["product", "image", "location"])
def test_training_begins_with_the_best_of_image_place_and_product(head: str, start: str) -> None:
    few, val = independent(200), independent(400)
    if start == "location":
        noise = torch.Generator().manual_seed(3)
        few, val = (replace(one, image_features=torch.randn(len(one.label), 2, generator=noise)) for one in (few, val))
    centres = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))[:, 2:]
    weight = torch.cat((centres if start != "image" else -5 * centres, torch.zeros(1, 2)))
    bias = torch.cat((-centres.square().sum(1) / 2, torch.tensor([-1e4])))  # the class without a row
    trained = train_fusion(
        few, location(weight, bias), settings(head, steps=1, learning_rate=1e-9), val=val, domains=None, run=RUN
    )
    assert trained.start == start
    assert trained.val_nll <= trained.start_nll
    longer = train_fusion(few, location(weight, bias), settings(head), val=val, domains=None, run=RUN)
    assert longer.start_nll == trained.start_nll and longer.val_nll <= longer.start_nll
    with torch.no_grad():
        assert longer.head(val.image_features, val.loc_emb).softmax(1)[:, 3].max() == 0
    if start != "image":  # T as it was, in front of the standardised e(x) and times one factor for all scores
        place = (trained.head.linear.weight[:3, 2:] / trained.head.standardise_place.scale).detach()
        torch.testing.assert_close(place, place[0, 0] / weight[0, 0] * weight[:3], rtol=1e-4, atol=1e-5)


def test_the_domain_loss_is_the_mean_cross_entropy_of_known_domains() -> None:
    scores = torch.tensor([[0.0, math.log(3)], [5.0, 1.0], [math.log(4), 0.0]])
    found = domain_loss(scores, torch.tensor([0, NO_DOMAIN, 0]))
    assert float(found) == pytest.approx((math.log(4) + math.log(5 / 4)) / 2)
    assert float(domain_loss(scores, torch.full((3,), NO_DOMAIN))) == 0


def test_the_domain_loss_makes_z_tell_domains_apart() -> None:
    """The domain is the side of the place; with the loss in force a probe of z separates the sides further than without."""
    few, val = independent(300), independent(300)
    sides = Domains((few.loc_emb[:, 0] > 0).long(), 2)

    def gap(weight: float) -> float:
        chosen = settings("film", domain_weight=weight, steps=200)
        head = train_fusion(few, location(torch.zeros(4, 2)), chosen, val=few, domains=sides if weight else None, run=RUN).head
        with torch.no_grad():
            z = head.see(val.loc_emb)
        side = val.loc_emb[:, 0] > 0
        return float((z[side].mean(0) - z[~side].mean(0)).norm())

    assert gap(10.0) > 1.2 * gap(0.0)
