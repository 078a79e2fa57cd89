"""Blocks of networks and what share of the learning rate each has."""

import pytest
import timm
import torch
from torch import nn

from cspops.training.finetune_network import blocks, rate_groups


def names(network: nn.Module) -> list[set[str]]:
    known = {id(parameter): name for name, parameter in network.named_parameters()}
    return [{known[id(parameter)] for parameter in part} for part in blocks(network)]


def test_the_rate_of_each_parameter_is_the_decay_to_the_power_of_its_depth():
    """A stem of convolution and norm, three blocks in a stack, a norm: depths 5, 4, 3, 2, 1, and 0 for the head."""

    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    network = nn.Sequential()
    network.conv, network.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    network.token = nn.Parameter(torch.zeros(4))
    network.blocks = nn.ModuleList([nn.Sequential(block(), block()), block()])
    network.last = nn.LayerNorm(4)
    depth = {"token": 6, "conv": 5, "norm": 5, "blocks.0.0": 4, "blocks.0.1": 3, "blocks.1": 2, "last": 1, "head": 0}
    head = nn.Linear(4, 2)
    groups = rate_groups(network, head, layer_decay=0.5, weight_decay=0.3)
    found = {id(one): group for group in groups for one in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found)
    named = dict(network.named_parameters()) | {f"head.{name}": one for name, one in head.named_parameters()}
    assert set(found) == {id(one) for one in named.values()}
    for name, parameter in named.items():
        own = next(at for start, at in depth.items() if name.startswith(start))
        assert found[id(parameter)]["share"] == pytest.approx(0.5**own), name
        assert found[id(parameter)]["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0), name


@pytest.mark.parametrize(
    ("model", "count", "first", "last"),
    [("test_resnet", 6, "conv1.0.weight", "layer4.0.conv1.weight"), ("test_vit", 9, "cls_token", "norm.weight")],
)
def test_blocks_of_networks_go_from_the_input_to_the_output(model, count, first, last):
    """timm names the order itself: a block never holds a layer that comes before one of an earlier block."""
    network = timm.create_model(model, num_classes=0)
    parts = names(network)
    assert len(parts) == count
    assert first in parts[0]
    assert last in parts[-1]
    assert sorted(name for part in parts for name in part) == sorted(name for name, _ in network.named_parameters())
