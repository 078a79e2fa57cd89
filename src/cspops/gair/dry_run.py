"""One training step of the full-size model on made-up data: what it weighs, and what it takes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from torch.nn.functional import normalize

from cspops.gair.model import Published, Sizes
from cspops.losses.gair import gair_loss
from cspops.params.yaml_text import read_yaml
from cspops.seeds import global_torch_stream
from cspops.shapes import Tensor

PUBLISHED = {"overhead": 85.5e6, "photo": 86.4e6, "location": 10.2e6, "total": 203.5e6}
"""Parameters of the released model, to the digit that is published."""
UNUSED = 14_293_259
"""Of them those that the released code does not use: see `published.LEFT_OUT`."""


@dataclass(frozen=True)
class DryRun:
    """What a step showed.

    Args:
        parameters: of each part, of those `unused` by the released code and not built here, and in `total`.
        loss: before the step; each term and `total`.
        seconds: of forward and backward pass and step.
    """

    parameters: dict[str, int]
    loss: dict[str, float]
    seconds: float


def recipe() -> dict[str, Any]:
    """Return the content of recipes/published.yaml."""
    content: dict[str, Any] = read_yaml(files("cspops.gair").joinpath("recipes/published.yaml").read_text(encoding="utf-8"))
    return content


def learning_rate(published: Mapping[str, Any]) -> float:
    """Return the base rate times the rows per step over 256."""
    rows = published["batch_size"] * published["accumulation"] * published["gpus"]
    return float(published["base_learning_rate"] * rows / 256)


def dry_run(published: Mapping[str, Any], *, batch: int = 2, device: torch.device) -> DryRun:
    """Build the model of a recipe with random weights, and take one step of AdamW on ``batch`` rows of noise.

    Args:
        published: such as `recipe` gives.
    """
    sizes = Sizes(**published["sizes"])
    with global_torch_stream(0, "gair dry run"):
        model = Published(sizes, published["attention_dropout"]).to(device).train()
        overhead = torch.rand(batch, sizes.bands, sizes.px, sizes.px, device=device)
        photo = torch.randn(batch, 3, sizes.photo_px, sizes.photo_px, device=device)
        bbox = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device).repeat(batch, 1)
        place = torch.rand(batch, 2, device=device)
        queue = normalize(torch.randn(2, published["queue"], device=device), dim=0).T
        started = time.monotonic()
        terms = _step(model, (overhead, photo, bbox, place), queue, published)
        loss = {name: term.item() for name, term in terms.items()}  # waits for a GPU
        seconds = time.monotonic() - started
    parameters = {name: sum(one.numel() for one in part.parameters()) for name, part in model.named_children()}
    parameters["unused"] = UNUSED
    return DryRun(parameters | {"total": sum(parameters.values())}, loss, seconds)


def _step(
    model: Published, rows: tuple[Tensor, Tensor, Tensor, Tensor], queue: Tensor, published: Mapping[str, Any]
) -> dict[str, Tensor]:
    trained = [one for one in model.parameters() if one.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [one for one in trained if one.ndim > 1]},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=learning_rate(published), betas=tuple(published["betas"]), weight_decay=published["weight_decay"]
    )
    made = model(*rows)
    negatives = model.location(queue)
    terms = gair_loss(made.at_place, made.photo, made.location, negatives, temperature=published["temperature"])
    terms["total"].backward()
    optimizer.step()
    return terms
