"""On a GPU a training step waits for nothing and copies nothing: seen without a GPU, by fake tensors."""

import pytest
import torch
from fake_gpu import CUDA, Waits, fake_gpu
from torch import nn

from cspops.data.batches import Labelled, Unlabelled
from cspops.data.negatives import negative_sampler
from cspops.evaluation.predictor import ImagePredictor, LocationPredictor
from cspops.land import read_land_runs
from cspops.models.encodings import ENCODINGS
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params import default_params, value_at
from cspops.params.location_classifiers import CrossEntropy, Focal, PresenceAbsence, PresenceAbsenceReleased
from cspops.params.sections import Pretrain
from cspops.training import finetune_loc, loop, pretrain

PARAMS = default_params()
NETWORK = {"name": "ffn", "hidden_layers": 1, "hidden": 10, "dropout": 0.5}
BATCHES = 3
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")


def config(encoding: str = "grid") -> dict[str, object]:
    settings = value_at(PARAMS, f"encodings.{encoding}").model_dump()
    return {"encoding": {"name": encoding, **settings}, "network": NETWORK, "dim": 6}


TIME = {"time": {"name": "harmonics", "orders": 2, "dropped": 0.3}}


def sampler(*shape: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(*shape, 2, dtype=torch.float64, device=CUDA)


def dated(*shape: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(*shape, 3, dtype=torch.float64, device=CUDA)


@pytest.fixture(autouse=True)
def streams_of_the_cpu(monkeypatch):
    for module in (loop, pretrain, finetune_loc):
        monkeypatch.setattr(module, "torch_stream", lambda *names, device=None: torch.Generator())


def steps_of_pretraining(monkeypatch, loss, encoder) -> list[int]:
    """Return what had been copied at each step until something had to wait: the end of the epoch, for the curve."""
    schedule = Pretrain(epochs=1, batch_size=8, negative_locations=2, negatives="sphere")
    with fake_gpu(monkeypatch) as copies:
        data = Unlabelled(torch.rand(8 * BATCHES, 2), torch.rand(8 * BATCHES, 5), torch.rand(8 * BATCHES))
        law = dated if "time" in encoder else sampler
        with pytest.raises(Waits) as waited:
            pretrain.pretrain(data, encoder, loss, schedule=schedule, negatives=law, run=loop.Run(0, CUDA))
    assert any(entry.name == "run_epochs" for entry in waited.traceback)
    return copies.at_steps


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_no_encoding_waits_or_copies(monkeypatch, encoding):
    """That of negative locations is made anew at each step; the first time it may bring tables of its own."""
    with fake_gpu(monkeypatch) as copies:
        encoder = LocationEncoder(config(encoding))
        encoder.fit(torch.rand(50, 2), torch.Generator())
        encoder.to(CUDA)
        counts = [copies.count for _ in range(3) if encoder.prepare(torch.rand(4, 2, device=CUDA)).device == CUDA]
    assert len(counts) == 3
    assert counts[1] == counts[2]


@pytest.mark.parametrize(
    ("loss", "changed"),
    [
        ("mc", {}),
        ("mc", {"learn_temperature": True, "symmetric": True}),
        ("mc", {"terms": "B"}),
        ("nce", {}),
        ("mse", {}),
    ],
)
@pytest.mark.parametrize("time", [{}, TIME], ids=["undated", "dated"])
def test_a_step_of_pretraining_neither_waits_nor_copies(monkeypatch, loss, changed, time):
    steps = steps_of_pretraining(monkeypatch, value_at(PARAMS, f"losses.{loss}").model_copy(update=changed), config() | time)
    assert (len(steps), len(set(steps))) == (BATCHES, 1)


@pytest.mark.parametrize(
    "loss",
    [
        PresenceAbsence(beta=0.1),
        PresenceAbsenceReleased(weight_background=1.0),
        CrossEntropy(label_smoothing=0.1),
        Focal(gamma=2.0),
    ],
    ids=lambda loss: type(loss).__name__,
)
@pytest.mark.parametrize("time", [{}, TIME], ids=["undated", "dated"])
def test_a_step_of_finetuning_waits_for_the_curve_alone(monkeypatch, loss, time):
    settings = value_at(PARAMS, "finetune_loc.modes.full").model_copy(
        update={"steps": 5 * finetune_loc.CURVE_ROWS, "batch_size": 8}
    )
    with fake_gpu(monkeypatch) as copies:
        data = Labelled(torch.rand(16, 2), torch.randint(12, (16,)), 12, torch.rand(16))
        encoder, run, law = LocationEncoder(config() | time), loop.Run(0, CUDA), dated if time else sampler
        with pytest.raises(Waits):
            finetune_loc.finetune_loc(data, encoder, settings, loss, negatives=law, run=run)
    assert (len(copies.at_steps), len(set(copies.at_steps))) == (5, 1)


@pytest.mark.parametrize("law", ["sphere", "planar_disk", "ne_quadrant", "land", "data"])
def test_no_draw_of_negative_locations_waits(monkeypatch, law):
    drawn = negative_sampler(law, land=read_land_runs(), data=torch.rand(50, 2))

    class Stream(torch.Generator):
        device = CUDA

    with fake_gpu(monkeypatch) as copies:
        for name in ("rand", "randint"):
            draw = getattr(torch, name)
            monkeypatch.setattr(torch, name, lambda *shape, generator, draw=draw, **about: draw(*shape, **about))
        counts = [copies.count for _ in range(3) if drawn(4, 2, generator=Stream()).device == CUDA]
    assert len(counts) == 3
    assert counts[1] == counts[2]


def test_predictors_on_a_gpu_answer_on_the_cpu(monkeypatch):
    with fake_gpu(monkeypatch):
        classifier = LocationClassifier(LocationEncoder(config()), ClassEmbedding(6, 12)).to(CUDA)
        image = ImagePredictor(nn.Linear(5, 12).to(CUDA), CUDA)(torch.rand(4, 5))
        assert image.shape == (4, 12)
        assert image.device.type == classifier.class_embedding.linear.weight.to("cpu").device.type == "cpu"
        with pytest.raises(Waits):  # `located.all()`, of the positions, which are on the CPU and have numbers
            LocationPredictor(classifier, CUDA)(torch.rand(4, 2))
