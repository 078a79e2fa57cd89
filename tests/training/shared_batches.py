"""Trainings that one process or several make, with what came out as one dict of tensors per training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from cspops.data.batches import Labelled, Unlabelled
from cspops.geo import uniform_on_sphere, unit_vectors
from cspops.models.location_encoder import LocationEncoder
from cspops.params.location_classifiers import CrossEntropy, Focal, FullLoc, PresenceAbsence, PresenceAbsenceReleased
from cspops.params.sections import McLoss, MseLoss, NceLoss, Pretrain
from cspops.ranks import ALONE, Processes
from cspops.training.finetune_loc import finetune_loc
from cspops.training.loop import Curve, Run
from cspops.training.pretrain import pretrain

CPU = torch.device("cpu")
TAUS = {"tau_batch": 0.2, "tau_locations": 0.2, "tau_dropout": 0.2}
WEIGHTS = {"weight_locations": 0.5, "weight_dropout": 2.0}
ENCODING = {"name": "grid", "scales": 4, "r_min": 10.0, "r_max": 360.0}
FFN = {"name": "ffn", "hidden_layers": 2, "hidden": 16, "dropout": 0.5}
RESIDUAL = {"name": "residual", "layers": 1, "dropout": 0.3}


def encoder(network: dict[str, object]) -> dict[str, object]:
    """Eight bits of a mask for a rate of 0.5, sixteen for 0.3."""
    return {"encoding": ENCODING, "network": network, "dim": 8}


def world(n: int) -> Unlabelled:
    """Places uniform on the sphere, and image features that are waves over it."""
    lonlat = uniform_on_sphere(n, generator=torch.Generator().manual_seed(0))
    waves = torch.randn(3, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return Unlabelled(lonlat, (3 * unit_vectors(lonlat) @ waves).sin().float())


Result = dict[str, torch.Tensor]


def result(module: torch.nn.Module, curve: Curve) -> Result:
    losses = {f"curve {i} {key}": torch.tensor(value) for i, row in enumerate(curve) for key, value in row.items()}
    return losses | {name: value.clone() for name, value in module.state_dict().items()}


def pretrainings() -> Iterator[tuple[str, Callable[[Processes], Result]]]:
    """Each loss with all its terms: 43 rows in batches of 18, 18 and 7, of which four processes cannot share the last."""

    def make(loss: McLoss | NceLoss | MseLoss, network: dict[str, object]) -> Callable[[Processes], Result]:
        schedule = Pretrain(epochs=2, batch_size=18, negative_locations=3, negatives="sphere")

        def train(processes: Processes) -> Result:
            run = Run(0, CPU, None, processes)
            return result(
                *pretrain(world(43), encoder(network), loss, schedule=schedule, negatives=uniform_on_sphere, run=run)
            )

        return train

    for terms in ("B", "BL", "BD", "BLD"):
        mc = {"symmetric": terms == "BL", "learn_temperature": terms == "BLD"}
        yield f"mc {terms}", make(McLoss(terms=terms, **mc, **TAUS, **WEIGHTS, learning_rate=0.003), FFN)
        yield f"nce {terms}", make(NceLoss(terms=terms, **WEIGHTS, learning_rate=0.003), FFN)
    yield "mc BLD residual", make(McLoss(terms="BLD", **mc, **TAUS, **WEIGHTS, learning_rate=0.003), RESIDUAL)
    yield "mse", make(MseLoss(learning_rate=0.003), FFN)


def finetunings() -> Iterator[tuple[str, Callable[[Processes], Result]]]:
    """Each loss of mode `full`: 30 of 41 rows at a time, validation on 13."""
    places, labels = world(54).lonlat, torch.arange(54) % 7
    losses = {
        "presence_absence": PresenceAbsence(beta=0.3),
        "released": PresenceAbsenceReleased(weight_background=0.5),
        "cross_entropy": CrossEntropy(label_smoothing=0.1),
        "focal": Focal(gamma=2.0),
    }

    def make(loss: PresenceAbsence | PresenceAbsenceReleased | CrossEntropy | Focal) -> Callable[[Processes], Result]:
        settings = FullLoc(
            steps=4,
            negatives="sphere",
            batch_size=30,
            learning_rate=0.003,
            encoder_rate=0.5,
            schedule="cosine",
            last_rate=0.0,
            patience=5,
            check_every=2,
        )

        def train(processes: Processes) -> Result:
            torch.manual_seed(0)
            return result(
                *finetune_loc(
                    Labelled(places[:41], labels[:41], 7),
                    LocationEncoder(encoder(FFN)),
                    settings,
                    loss,
                    negatives=uniform_on_sphere,
                    val=Labelled(places[41:], labels[41:], 7),
                    run=Run(0, CPU, None, processes),
                )
            )

        return train

    for name, loss in losses.items():
        yield name, make(loss)


def trainings() -> dict[str, Callable[[Processes], Result]]:
    """All of them by name."""
    return dict([*pretrainings(), *finetunings()])


def train_all(folder: Path, processes: Processes = ALONE, device: torch.device = CPU) -> None:
    """Make them all; each process writes what came out of them."""
    for name, train in trainings().items():
        save_file(train(processes), folder / f"{name} {processes.rank} of {processes.size}.safetensors")
