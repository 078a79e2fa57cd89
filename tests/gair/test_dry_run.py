"""A step of the published recipe, with a small model."""

import math

import pytest
import torch

from cspops.gair.dry_run import PUBLISHED, UNUSED, dry_run, learning_rate, recipe
from cspops.gair.model import Sizes


def test_the_recipe_states_the_published_sizes_and_rates() -> None:
    published = recipe()
    assert Sizes(**published["sizes"]) == Sizes()
    assert learning_rate(published) == pytest.approx(2.88e-4)


def test_a_step_of_a_small_model() -> None:
    small = {"overhead_depth": 1, "photo_depth": 1, "photo_hidden": 16, "features": 4, "capsule_hidden": 8, "dim": 48}
    published = recipe() | {"sizes": small | {"px": 16, "photo_px": 32}, "queue": 64}
    done = dry_run(published, batch=3, device=torch.device("cpu"))
    assert done.loss["total"] == pytest.approx(math.log(3) + math.log(65), rel=0.3)
    assert done.parameters["total"] == sum(count for name, count in done.parameters.items() if name != "total")
    assert done.parameters["unused"] == UNUSED
    assert done.seconds > 0
    assert set(PUBLISHED) <= set(done.parameters)
