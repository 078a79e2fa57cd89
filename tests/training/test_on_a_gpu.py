"""Training on a GPU, where there is one: it ends with finite numbers, and more steps do not make it wait more often."""

import warnings

import pytest
import torch

from cspops.data.batches import Labelled, Unlabelled
from cspops.geo import uniform_on_sphere
from cspops.models.location_encoder import LocationEncoder
from cspops.params import default_params, value_at
from cspops.params.location_classifiers import PresenceAbsence
from cspops.params.sections import Pretrain
from cspops.training.finetune_loc import CURVE_ROWS, finetune_loc
from cspops.training.loop import Run
from cspops.training.pretrain import pretrain

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
CONFIG = {
    "encoding": {"name": "grid", "scales": 8, "r_min": 0.01, "r_max": 360.0},
    "network": {"name": "ffn", "hidden_layers": 1, "hidden": 64, "dropout": 0.5},
    "dim": 32,
}
PARAMS = default_params()


def waits(work) -> int:
    """Return how often the work made the CPU wait for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught)


def places(n: int) -> torch.Tensor:
    return uniform_on_sphere(n, generator=torch.Generator().manual_seed(0))


def test_pretraining_waits_as_often_with_more_steps():
    run, loss = Run(0, torch.device("cuda")), value_at(PARAMS, "losses.mc")

    def train(steps: int) -> None:
        schedule = Pretrain(epochs=1, batch_size=32, negative_locations=1, negatives="sphere")
        data = Unlabelled(places(32 * steps), torch.randn(32 * steps, 20))
        encoder, curve = pretrain(data, CONFIG, loss, schedule=schedule, negatives=uniform_on_sphere, run=run)
        assert torch.isfinite(encoder(places(5).cuda())).all() and curve

    train(2)
    assert waits(lambda: train(20)) == waits(lambda: train(5))


def test_finetuning_waits_as_often_with_more_steps():
    run, full = Run(0, torch.device("cuda")), value_at(PARAMS, "finetune_loc.modes.full")
    data = Labelled(places(64), torch.arange(64) % 10, 10)

    def train(steps: int) -> None:
        settings = full.model_copy(update={"steps": steps, "batch_size": 64, "patience": 0})
        encoder = LocationEncoder(CONFIG)
        finetune_loc(data, encoder, settings, PresenceAbsence(beta=0.1), negatives=uniform_on_sphere, run=run)

    train(CURVE_ROWS)
    assert waits(lambda: train(5 * CURVE_ROWS)) == waits(lambda: train(CURVE_ROWS))
