"""What share of the learning rate each layer of a network has."""

import pytest
import torch

from cspops.models.backbones import build_image_network
from cspops.models.heads import ImageHead
from cspops.training.finetune_network import rate_groups


@pytest.mark.parametrize(
    ("model", "px", "layers", "first", "last"),
    [
        ("timm:test_resnet", 32, 5, "conv1.0.weight", "layer4.0.conv1.weight"),
        ("timm:test_vit", None, 7, "patch_embed.proj.weight", "norm.weight"),
        ("torchvision:resnet18", 32, 5, "conv1.weight", "layer4.1.conv2.weight"),  # 60 parameters
    ],
)
def test_rates_fall_from_the_head_to_the_input(model: str, px: int | None, layers: int, first: str, last: str) -> None:
    """Each layer has half the rate of the next one; vectors have no weight decay; no parameter is left out or there twice."""
    network = build_image_network(model, pretrained=False, px=px, seed=0)
    head = ImageHead(network.dim, 2)
    groups = rate_groups(network, head, layer_decay=0.5, weight_decay=0.3)
    found = {id(one): group for group in groups for one in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found)
    named = dict(network.network.named_parameters())
    assert set(found) == {id(one) for one in [*named.values(), *head.parameters()]}
    share = {name: found[id(one)]["share"] for name, one in named.items()}
    assert sorted(set(share.values())) == [0.5**depth for depth in range(layers, 0, -1)]
    assert (share[first], share[last]) == (0.5**layers, 0.5)
    assert all(found[id(one)].get("share", 1.0) == 1.0 for one in head.parameters())
    for one in [*named.values(), *head.parameters()]:
        assert found[id(one)]["weight_decay"] == (0.3 if one.ndim > 1 else 0.0)
    torch.optim.AdamW(groups, lr=0.1)
