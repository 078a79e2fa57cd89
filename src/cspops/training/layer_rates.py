"""Layer-wise learning rates: what lies nearer to the input is of more general use, and moves less."""

from typing import Any

from torch import nn

from cspops.shapes import Tensor


def blocks(network: nn.Module) -> list[list[Tensor]]:
    """The parameters of a network in blocks from its input to its output, each parameter in one.

    Blocks are the network's children in the order in which they were registered, for timm's and torchvision's networks
    that of the forward pass. A stack (a Sequential or ModuleList of composite modules) is taken apart, and so is a child
    that holds a stack of one kind; neighbouring simple children, such as a convolution and its norm, make one block.
    Parameters of the network itself, such as a class token, are a block before the others.
    """
    parts: list[list[Tensor]] = [[]]
    _collect(network, parts)
    return [part for part in parts if part]


def rate_groups(network: nn.Module, head: nn.Module, *, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups whose `share` of the learning rate is layer_decay^depth: depth 0 is the head, 1 the last block.

    Vectors (biases, the scales of norms) have no weight decay.
    """
    parts: list[list[Tensor]] = [*blocks(network), list(head.parameters())]
    groups: list[dict[str, Any]] = []
    for depth, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
        share = layer_decay**depth
        groups.append({"params": [one for one in part if one.ndim > 1], "share": share, "weight_decay": weight_decay})
        groups.append({"params": [one for one in part if one.ndim <= 1], "share": share, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _collect(module: nn.Module, parts: list[list[Tensor]]) -> None:
    parts[-1].extend(module.parameters(recurse=False))
    joins = False
    for child in module.children():
        if not _weighs(child):
            continue
        simple = not any(_weighs(one) for one in child.children())
        if parts[-1] and not (simple and joins):
            parts.append([])
        if _is_stack(child) or any(_is_stack(one, alike=True) for one in child.children()):
            _collect(child, parts)
        else:
            parts[-1].extend(child.parameters())
        joins = simple


def _weighs(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _is_stack(module: nn.Module, *, alike: bool = False) -> bool:
    """Whether it is a sequence with composite modules; ``alike``: of two at least, and of one class."""
    if not isinstance(module, nn.Sequential | nn.ModuleList):
        return False
    composite = any(_weighs(one) for child in module for one in child.children())
    return composite and (not alike or (len(module) > 1 and len({type(child) for child in module}) == 1))
