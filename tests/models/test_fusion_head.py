"""The two fusion heads against their formulas, written out row by row."""

import pytest
import torch
from torch.nn.functional import gelu

from cspops.models.checkpoint import save_model
from cspops.models.fusion_head import FusionHead, Join
from cspops.models.heads import ABSENT
from cspops.models.loading import load_fusion

K, D, Q, H = 5, 3, 4, 6


def a_head(join: Join) -> FusionHead:
    torch.manual_seed(0)
    head = FusionHead(join, K, D, Q, hidden=H, dropout=0.5)
    torch.nn.init.normal_(head.last.weight)
    head.standardise_image.fit(torch.randn(20, K) * 3 + 1)
    head.standardise_place.fit(torch.randn(20, D) * 2 - 1)
    return head.eval()


@pytest.mark.parametrize("join", ["concat", "film"])
@torch.no_grad()
def test_scores_are_those_of_the_formula(join: Join) -> None:
    head, images, places = a_head(join), torch.randn(7, K), torch.randn(7, D)
    found = head(images, places)
    for row in range(7):
        f = (images[row] - head.standardise_image.mean) / head.standardise_image.scale
        e = (places[row] - head.standardise_place.mean) / head.standardise_place.scale
        z = gelu(head.place.weight @ e + head.place.bias)
        if join == "concat":
            h = gelu(head.body.weight[:, :K] @ f + head.body.weight[:, K:] @ z + head.body.bias)
        else:
            assert head.film is not None
            gamma = head.film.weight[:H] @ z + head.film.bias[:H]
            beta = head.film.weight[H:] @ z + head.film.bias[H:]
            h = gelu((1 + gamma) * (head.body.weight @ f + head.body.bias) + beta)
        want = head.linear.weight[:, :K] @ f + head.linear.weight[:, K:] @ e + head.linear.bias + head.last.weight @ h
        torch.testing.assert_close(found[row], want)


@pytest.mark.parametrize("join", ["concat", "film"])
@torch.no_grad()
def test_a_fresh_head_is_linear(join: Join) -> None:
    head, x, y = FusionHead(join, K, D, Q, hidden=H), torch.randn(2, K), torch.randn(2, D)
    torch.testing.assert_close(head(x, y), head.linear(torch.cat((x, y), 1)))


@pytest.mark.parametrize("join", ["concat", "film"])
@torch.no_grad()
def test_a_head_among_more_classes_gives_the_others_no_probability(join: Join, tmp_path) -> None:
    head, x, y = a_head(join), torch.randn(2, K), torch.randn(2, D)
    present = torch.tensor([0, 2, 3, 6])
    whole = head.among(present, 8, sharpness=0.5)
    scores = whole(x, y)
    torch.testing.assert_close(scores[:, present], 0.5 * head(x, y))
    assert (scores[:, [1, 4, 5, 7]] == ABSENT).all() and (scores.softmax(1)[:, [1, 4, 5, 7]] == 0).all()
    save_model(tmp_path, whole, whole.config)
    assert torch.equal(load_fusion(tmp_path, remake="")(x, y), scores)
