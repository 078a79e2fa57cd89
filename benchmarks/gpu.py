"""Measure training, evaluation and featurize on one device, against the plain reference there and the products alone.

    python -m benchmarks.gpu [--out gpu.json] [--seconds 300]      # or benchmarks/gpu.sh, which tests the device first

run from the project's root; CSPOPS_DEVICE sets the device. Weights are random and all data synthetic. Without a GPU sizes are
cut, and the figures are those of the CPU path.

`bounds` are the matrix products of a training step alone, in float32, TF32 and bfloat16, as pairs per second; a network's is
the share of the device's bfloat16 rate that its multiplications reach. `busy` is how much of the time a kernel ran, as
nvidia-smi samples it. The whole stops at the first case that begins after ``seconds``.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import decoding, evaluation, featurize, training
from benchmarks.timing import Case, measure, seconds
from benchmarks.training import Shapes
from cspops.host import Host
from cspops.models.backbones import build_image_network
from cspops.models.image_features import features_of
from cspops.numerics import facts

NO_GPU = "no GPU: sizes cut, figures are of the CPU path"
KINDS = {
    "float32": (torch.float32, "highest"),
    "tf32": (torch.float32, "high"),
    "bfloat16": (torch.bfloat16, "highest"),
}
"""The type of the numbers, and how torch multiplies float32."""


@dataclass(frozen=True)
class Sizes:
    """How much work there is."""

    batches: tuple[int, ...] = (1024, 8192)
    of_training: Shapes = Shapes()  # noqa: RUF009  (frozen)
    of_evaluation: evaluation.Shapes = evaluation.Shapes(rows=1500)  # noqa: RUF009
    networks: tuple[tuple[str, int], ...] = (("timm:resnet50", 224), ("timm:vit_base_patch16_224", 224))
    images: int = 2000
    side: int = 500
    batch: int = 256
    square: int = 8192
    """Rows and columns of the matrices whose product is the device's rate."""
    repeats: int = 3


CUT = Sizes(
    (64,),
    Shapes(dim=32, scales=8, hidden=64, features=128, classes=500, epochs=1, batches=2, steps=2, plain_steps=2),
    evaluation.Shapes(rows=50, classes=60, labelled=100, features=32, dim=16, scales=4, hidden=16),
    (("timm:test_resnet", 32), ("timm:test_vit", 64)),
    images=6,
    side=64,
    batch=3,
    square=256,
    repeats=1,
)
"""Of a CPU."""


def rates(device: torch.device, square: int) -> dict[str, float]:
    """Return multiplications and additions per second of square products, by kind of numbers."""
    out = {}
    for kind, (dtype, precision) in KINDS.items():
        a, b = (torch.randn(square, square, device=device).to(dtype) for _ in range(2))
        out[kind] = 2 * square**3 / least(lambda a=a, b=b: torch.mm(a, b), device, precision)  # type: ignore[misc]
    return out


def least(call: Callable[[], object], device: torch.device, precision: str = "highest") -> float:
    """Return the least seconds of a call, of a few that follow one another without a wait."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)

    def several() -> None:
        for _ in range(10):
            call()

    try:
        several()
        return min(seconds(several, device)[0] for _ in range(3)) / 10
    finally:
        torch.set_float32_matmul_precision(before)


def bounds(case: Case, device: torch.device) -> dict[str, float]:
    """Return pairs per second of a step's products alone, by kind of numbers."""
    out = {}
    for kind, (dtype, precision) in KINDS.items():
        sizes = [part for product in case.products for part in product.parts]
        operands = [tuple(torch.randn(*shape, device=device).to(dtype) for shape in ((n, i), (i, o))) for n, i, o in sizes]

        def products(operands: list[tuple[torch.Tensor, ...]] = operands) -> None:
            for a, b in operands:
                torch.mm(a, b)

        out[kind] = case.product_pairs / least(products, device, precision)
    return out


def trained(make: Callable[[Shapes, torch.device], Case], shapes: Shapes, device: torch.device, repeats: int) -> dict[str, Any]:
    """Time a training beside the plain way, and its products."""
    case = make(shapes, device)
    with busy() as share:
        timing = measure(case, repeats, device)
    ours = statistics.median(timing.wall["ours"])
    alone = bounds(case, device)
    return {
        "pairs_per_s": {way: statistics.median(timing.wall[way]) for way in ("ours", "plain")},
        "x_plain": statistics.median(a / b for a, b in zip(timing.wall["ours"], timing.wall["plain"], strict=True)),
        "bounds": alone,
        "x_bound": {kind: ours / bound for kind, bound in alone.items()},
        "busy": share.get("of_the_time"),
        "peak_mb": training.peak_mb(device),
    }


def evaluated(shapes: evaluation.Shapes, device: torch.device) -> dict[str, Any]:
    """Time stage evaluate beside tables of all rows and classes."""
    took = {}
    for way in ("ours", "plain"):
        with tempfile.TemporaryDirectory() as name:
            inputs = evaluation.write(Path(name) / "artifacts", shapes)
            run = evaluation.in_blocks if way == "ours" else evaluation.whole
            took[way] = seconds(lambda run=run, inputs=inputs, name=name: run(inputs, Path(name) / "out"), device)[0]  # type: ignore[misc]
    rows = {way: 2 * shapes.rows / wall for way, wall in took.items()}
    return {"rows_per_s": rows, "x_plain": rows["ours"] / rows["plain"], "classes": shapes.classes}


def featurized(model: str, px: int, sizes: Sizes, device: torch.device, bf16: float) -> dict[str, Any]:
    """Time stage featurize from files to features beside a plain loop, and the network alone on pixels that are there."""
    network = build_image_network(model, pretrained=False, px=px, seed=0).to(device).eval()
    workers = Host().decoders(by_path=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = decoding.write_photos(folder, images=sizes.images, side=sizes.side)

        def ours() -> object:
            return featurize.ours(network, featurize.batches(folder, table, px=px, batch=sizes.batch, workers=workers), device)

        def plain() -> object:
            return featurize.loop(network, folder, sizes.images, px=px, batch=sizes.batch, device=device)

        pixels = torch.randint(256, (sizes.batch, px, px, 3), dtype=torch.uint8, device=device)
        features_of(network, pixels, device)
        with busy() as share:
            took = {way: seconds(call, device)[0] for way, call in (("ours", ours), ("plain", plain))}
    alone = sizes.batch / least(lambda: features_of(network, pixels, device), device)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        network(pixels[:1])
    images = {way: sizes.images / wall for way, wall in took.items()} | {"network alone": alone}
    return {
        "images_per_s": images,
        "x_plain": images["ours"] / images["plain"],
        "x_bound": {"bfloat16": alone * counted.get_total_flops() / bf16},
        "busy": share.get("of_the_time"),
        "workers": workers,
    }


@contextmanager
def busy() -> Iterator[dict[str, float]]:
    """Fill in the share of the time, `of_the_time`, in which a kernel ran in the block; nothing without nvidia-smi."""
    words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    share: dict[str, float] = {}
    try:
        sampler = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        yield share
        return
    try:
        yield share
    finally:
        sampler.terminate()
        samples = [float(line) for line in sampler.communicate()[0].split() if line.replace(".", "").isdigit()]
        if samples:
            share["of_the_time"] = statistics.fmean(samples) / 100


def cases(sizes: Sizes, device: torch.device, bf16: float) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what is measured, by name."""
    out: dict[str, Callable[[], dict[str, Any]]] = {}
    for batch in sizes.batches:
        shapes = replace(sizes.of_training, batch=batch)
        for name, make in (("pre-training mc BLD", training.pretraining), ("presence-absence", training.finetuning)):
            out[f"{name}, batch {batch}"] = lambda m=make, s=shapes: trained(m, s, device, sizes.repeats)  # type: ignore[misc]
    out["evaluation"] = lambda: evaluated(sizes.of_evaluation, device)
    for model, px in sizes.networks:
        out[f"featurize {model}"] = lambda m=model, p=px: featurized(m, p, sizes, device, bf16)  # type: ignore[misc]
    return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE")
    parser.add_argument("--seconds", type=float, default=300.0, help="no case begins later")
    parser.add_argument("--tests", default=None, help="what the tests said, for the file")
    arguments = parser.parse_args(argv)
    device, start = Host().torch_device(), time.monotonic()
    on_gpu = device.type == "cuda"
    sizes = Sizes() if on_gpu else CUT
    print(torch.cuda.get_device_name(device) if on_gpu else NO_GPU, flush=True)
    of_device = rates(device, sizes.square)
    document: dict[str, Any] = {
        "device": facts(device) | {"type": device.type, "note": None if on_gpu else NO_GPU},
        "tests": arguments.tests,
        "float32_products": torch.get_float32_matmul_precision(),
        "flops_per_s": of_device,
        "cases": {},
        "left_out": [],
    }
    print("square products: " + ", ".join(f"{kind} {rate / 1e12:,.3g} TFLOP/s" for kind, rate in of_device.items()), flush=True)
    for name, measured in cases(sizes, device, of_device["bfloat16"]).items():
        if time.monotonic() - start > arguments.seconds:
            document["left_out"].append(name)
            continue
        one = document["cases"][name] = measured()
        bound = ", ".join(f"{share:.1%} of {kind}" for kind, share in one.get("x_bound", {}).items())
        print(f"{name}: {one['x_plain']:.2f} x plain{f', {bound}' if bound else ''}", flush=True)
    document["seconds"] = time.monotonic() - start
    arguments.out.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    print(
        f"wrote {arguments.out}" + (f"; no time was left for {', '.join(document['left_out'])}" if document["left_out"] else "")
    )


if __name__ == "__main__":
    main()
