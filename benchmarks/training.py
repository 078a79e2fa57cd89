"""Measure pairs per second of pre-training, fine-tuning and evaluation, against a plain reference and the products alone.

    python -m benchmarks.training [--threads 1] [--repeats 5]

run from the project's root; CSPOPS_DEVICE sets the device. Shapes are the paper's: batch 1024, d 256, grid encoding of 32
scales, one hidden layer of 512, dropout 0.5, 2048 image features, C 1; 8,142 classes. (Stage evaluate as a
whole: `benchmarks.evaluation`.)

`plain` is `benchmarks.plain`. `bound` is the matrix products of a step alone, forward and backward, in float32, each by the
fastest of torch.mm and the routes to oneDNN. The three are timed in turn, ``repeats`` times; the table shows medians,
and of ratios the medians of the repeats' own. They share a process, so that the plain way too gains from
`cspops.kernels.keep_freed_memory`. On a machine with other work compare CPU time: wall time includes waiting.
"""

import argparse
import os
import resource
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# threads that spin while they wait slow each other down where cores are shared; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks import plain
from benchmarks.timing import WAYS, Case, Product, Run, measure, seconds
from cspops.data.batches import Labelled, Unlabelled
from cspops.evaluation.metrics import best_classes
from cspops.evaluation.model_tables import model_tables
from cspops.evaluation.predictor import LocationPredictor
from cspops.geo import uniform_on_sphere
from cspops.host import Host
from cspops.kernels import product, slices
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params import load, value_at
from cspops.params.location_classifiers import PresenceAbsence
from cspops.params.sections import Pretrain
from cspops.seeds import numpy_stream, torch_stream
from cspops.shapes import Tensor
from cspops.training import loop
from cspops.training.finetune_loc import finetune_loc
from cspops.training.pretrain import pretrain

BETA, TOP, RATE = 0.05, 10, 1e-3
PARAMS = load(Path(__file__).parents[1] / "params.yaml")
TAUS = dict.fromkeys(("tau_batch", "tau_locations", "tau_dropout"), 0.2)
LOSS = value_at(PARAMS, "losses.mc").model_copy(
    update=TAUS | {"weight_locations": 1.0, "weight_dropout": 1.0, "learning_rate": RATE}
)
FINETUNE = value_at(PARAMS, "finetune_loc.modes.full").model_copy(
    update={"learning_rate": RATE, "encoder_rate": 1.0, "patience": 0}
)


@dataclass(frozen=True)
class Shapes:
    """Sizes of what is timed; the last five are the amount of work per repeat."""

    batch: int = 1024
    dim: int = 256
    scales: int = 32
    hidden: int = 512
    dropout: float = 0.5
    features: int = 2048
    classes: int = 8142
    epochs: int = 8
    batches: int = 4
    steps: int = 10
    plain_steps: int = 4
    plain_rows: int = 256

    @property
    def encoder(self) -> dict[str, object]:
        return {
            "encoding": {"name": "grid", "scales": self.scales, "r_min": 0.01, "r_max": 360.0},
            "network": {"name": "ffn", "hidden_layers": 1, "hidden": self.hidden, "dropout": self.dropout},
            "dim": self.dim,
        }


def pretraining(shapes: Shapes, device: torch.device) -> Case:
    """Set up `cspops.training.pretrain` as a whole and its plain counterpart."""
    n = shapes.batch * shapes.batches
    image_features = torch.randn(n, shapes.features, generator=torch_stream(0, "features")).abs()
    data = Unlabelled(places(n), image_features)

    def ours() -> object:
        return pretrain(
            data,
            shapes.encoder,
            LOSS,
            schedule=Pretrain(epochs=shapes.epochs, batch_size=shapes.batch, negative_locations=1, negatives="sphere"),
            negatives=uniform_on_sphere,
            run=loop.Run(0, device),
        )

    encoder = plain_encoder(shapes).to(device)
    projection = nn.Linear(shapes.features, shapes.dim).to(device)
    mean, sd = image_features.mean(0).to(device), image_features.std(0).to(device)
    loader = DataLoader(plain.Rows(data.lonlat.numpy(), image_features.numpy()), shapes.batch, shuffle=True)
    draws = numpy_stream(0, "plain")

    def loss(lonlat: Tensor, features: Tensor) -> Tensor:
        standard = (features.to(device) - mean) / sd
        negatives = plain.places(len(lonlat), draws)
        return plain.pretraining_loss(encoder, projection, lonlat.numpy(), standard, negatives, LOSS.tau_batch)

    b, d, h, e = shapes.batch, shapes.dim, shapes.hidden, 4 * shapes.scales
    products = [Product(2 * b, e, h, 2), Product(3 * b, h, d), Product(b, shapes.features, d, 2), *[Product(b, d, b)] * 2]
    return Case(
        "pre-training (mc, BLD)",
        Run(ours, n * shapes.epochs),
        plain_training(loader, loss, [*encoder.parameters(), *projection.parameters()], shapes),
        products,
        b,
    )


def finetuning(shapes: Shapes, device: torch.device) -> Case:
    """Set up `cspops.training.finetune_loc` as a whole and its plain counterpart."""
    n = shapes.batch * shapes.batches
    label = torch.randint(shapes.classes, (n,), generator=torch_stream(0, "label"))
    data = Labelled(places(n), label, shapes.classes)
    torch.manual_seed(0)
    trained = LocationEncoder(shapes.encoder).to(device)

    def ours() -> object:
        return finetune_loc(
            data,
            trained,
            FINETUNE.model_copy(update={"steps": shapes.steps, "batch_size": shapes.batch}),
            PresenceAbsence(beta=BETA),
            negatives=uniform_on_sphere,
            run=loop.Run(0, device),
        )

    encoder = plain_encoder(shapes).to(device)
    classes = nn.Linear(shapes.dim, shapes.classes, bias=False).to(device)
    loader = DataLoader(plain.Rows(data.lonlat.numpy(), label.numpy()), shapes.batch, shuffle=True)
    draws = numpy_stream(0, "plain")

    def loss(lonlat: Tensor, label: Tensor) -> Tensor:
        negatives = plain.places(len(lonlat), draws)
        return plain.finetuning_loss(encoder, classes, lonlat.numpy(), label.to(device), negatives, BETA)

    b, d, h, e = shapes.batch, shapes.dim, shapes.hidden, 4 * shapes.scales
    products = [Product(2 * b, e, h, 2), Product(2 * b, h, d), Product(2 * b, d, shapes.classes)]
    return Case(
        "fine-tuning (presence-absence)",
        Run(ours, shapes.batch * shapes.steps),
        plain_training(loader, loss, [*encoder.parameters(), *classes.parameters()], shapes),
        products,
        b,
    )


def evaluation(shapes: Shapes, device: torch.device) -> Case:
    """Set up what stage evaluate does with given logits of g: P(y|I), P(y|x), the best classes of both and of their product."""
    torch.manual_seed(0)
    model = LocationClassifier(LocationEncoder(shapes.encoder), ClassEmbedding(shapes.dim, shapes.classes)).to(device).eval()
    n = shapes.batch
    logits = 3 * torch.randn(n, shapes.classes, generator=torch_stream(0, "logits"))
    lonlat, located = places(n), torch.ones(n, dtype=torch.bool)

    @torch.inference_mode()
    def ours() -> None:
        for rows in torch.arange(n).split(512):
            image, location = logits[rows], LocationPredictor(model, device).scores(lonlat[rows])
            for here in slices(len(rows), shapes.classes):
                for _, table in model_tables(image[here], location[here], located[rows[here]]):
                    table.log_p(best_classes(table.order, TOP)[1])

    encoder = plain_encoder(shapes).to(device).eval()
    encoder.load_state_dict(model.encoder.network.state_dict())
    classes = nn.Linear(shapes.dim, shapes.classes, bias=False).to(device)
    classes.load_state_dict(model.class_embedding.linear.state_dict())
    image_logits, where = logits.numpy()[: shapes.plain_rows], lonlat.numpy()[: shapes.plain_rows]

    @torch.inference_mode()
    def row_by_row() -> None:
        for row in zip(image_logits, where, strict=True):
            plain.best_of_a_row(*row, encoder, classes, TOP)

    b, d, h, e = shapes.batch, shapes.dim, shapes.hidden, 4 * shapes.scales
    products = [Product(b, e, h, 1), Product(b, h, d, 1), Product(b, d, shapes.classes, 1)]
    return Case("evaluation (product, best 10)", Run(ours, n), Run(row_by_row, len(where)), products, b)


def places(n: int) -> Tensor:
    """Draw positions uniformly on the sphere, in degrees."""
    return uniform_on_sphere(n, generator=torch_stream(0, "places"))


def plain_encoder(shapes: Shapes) -> plain.Encoder:
    """Build the plain encoder with the settings of ``shapes.encoder``."""
    return plain.Encoder(shapes.scales, 0.01, 360.0, shapes.hidden, shapes.dim, shapes.dropout)


def plain_training(
    loader: DataLoader[object], loss: Callable[[Tensor, Tensor], Tensor], parameters: list[nn.Parameter], shapes: Shapes
) -> Run:
    """Set up a few steps of a plain loop."""
    optimizer = torch.optim.Adam(parameters, lr=RATE)

    def do() -> None:
        steps = 0
        while True:
            for lonlat, other in loader:
                optimizer.zero_grad()
                loss(lonlat, other).backward()
                optimizer.step()
                steps += 1
                if steps == shapes.plain_steps:
                    return

    return Run(do, shapes.batch * shapes.plain_steps)


def peak_mb(device: torch.device) -> float:
    """Return the most memory that was ever held: on a GPU by torch, else by the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1e-6 if sys.platform == "darwin" else 1e-3)


CASES = (pretraining, finetuning, evaluation)


def main(shapes: Shapes | None = None, argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on a CPU")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    shapes, device = shapes or Shapes(), Host().torch_device()
    print(f"torch {torch.__version__} on {device}, {arguments.threads} thread(s), medians of {arguments.repeats} repeats")
    a, b = (torch.randn(*size, device=device) for size in ((3 * shapes.batch, shapes.hidden), (shapes.hidden, shapes.dim)))
    rates = []
    for multiply in (torch.mm, product):
        took = statistics.median(seconds(lambda: multiply(a, b), device)[0] for _ in range(20))  # noqa: B023
        rates.append(2 * len(a) * b.numel() / took / 1e9)
    print(f"{tuple(a.shape)} by {tuple(b.shape)}: torch.mm {rates[0]:,.0f}, kernels.product {rates[1]:,.0f} GFLOP/s")
    case, peaks = finetuning(shapes, device), [peak_mb(device)]
    for run in (case.ours, case.plain):
        run.do()
        peaks.append(peak_mb(device))
    print(
        f"peak memory: {peaks[0]:,.0f} MB before fine-tuning, {peaks[1]:,.0f} in it, {peaks[2]:,.0f} after the plain way too\n"
    )
    print(f"{'pairs per second':32}{'way':>6}{'wall':>10}{'CPU':>10}{'x plain':>9}{'x bound':>9}")
    for make in CASES:
        case = make(shapes, device)
        timing = measure(case, arguments.repeats, device)
        for way in WAYS:
            wall, cpu = statistics.median(timing.wall[way]), statistics.median(timing.cpu[way])
            ratios = "".join(f"{timing.ratio(way, other):9.2f}" for other in ("plain", "bound"))
            print(f"{case.name if way == 'ours' else '':32}{way:>6}{wall:10,.0f}{cpu:10,.0f}{ratios}", flush=True)


if __name__ == "__main__":
    main()
