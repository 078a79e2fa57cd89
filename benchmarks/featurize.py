"""Measure images per second from files to features, and where the time goes, against a plain loop.

    python -m benchmarks.featurize [--images 2000] [--side 500] [--model timm:resnet50] [--px 224] [--batch 256]
                                   [--workers auto] [--repeats 1] [--device auto]

run from the project's root. The JPEGs are those of `benchmarks.decoding`; weights are random. Both ways are timed in turn,
``repeats`` times; the table shows medians. Below it decoding, transfer and network are timed one by one, each to its end:
the largest share is what the others wait for, and their sum is the time that it would take without overlap.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.decoding import plain, print_rates, timed, write_photos
from cspops.host import Host
from cspops.models.backbones import ImageNetwork, build_image_network
from cspops.models.image_features import features_of, image_features, on_device
from cspops.pixels.decoding import squares
from cspops.pixels.reading import Reading
from cspops.pixels.tensors import stacked
from cspops.pixels.workers import Workers
from cspops.shapes import Tensor


def batches(folder: Path, table: pa.Table, *, px: int, batch: int, workers: int) -> Iterator[Tensor]:
    """Yield pixels as featurize decodes them."""
    with Workers(workers) as started:
        pixels = squares([(range(len(table)), table)], px=px, root=folder, reading=Reading(), map=started.map)
        for start in range(0, len(table), batch):
            yield stacked(pixels, min(batch, len(table) - start), px)


@torch.inference_mode()
def loop(network: ImageNetwork, folder: Path, images: int, *, px: int, batch: int, device: torch.device) -> np.ndarray:
    """Compute features as anybody would: decode all images, then run the network in float32."""
    pixels = torch.from_numpy(plain(folder, images, px))
    return torch.cat([network(part.to(device)).half().cpu() for part in pixels.split(batch)]).numpy()


def ours(network: ImageNetwork, source: Iterator[Tensor], device: torch.device) -> np.ndarray:
    """Compute features as featurize does."""
    return torch.cat(list(image_features(network, source, device=device))).numpy()


def parts(network: ImageNetwork, source: Callable[[], Iterator[Tensor]], device: torch.device) -> dict[str, float]:
    """Return the seconds of decoding, of transfer and of the network, none of which overlaps another."""
    times = dict.fromkeys(("decoding", "transfer", "network"), 0.0)

    def finished(part: str, start: float) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times[part] += time.perf_counter() - start

    start = time.perf_counter()
    held = list(source())
    finished("decoding", start)
    for pixels in held:
        start = time.perf_counter()
        there = on_device(pixels, device)
        finished("transfer", start)
        start = time.perf_counter()
        features_of(network, there, device).cpu()
        finished("network", start)
    return times


def agree(one: np.ndarray, other: np.ndarray, device: torch.device) -> bool:
    """Compare bit by bit on a CPU; in the half precision of a GPU within a few per cent of each feature vector's length."""
    if device.type != "cuda":
        return np.array_equal(one, other)
    a, b = one.astype(np.float64), other.astype(np.float64)
    distance = np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
    return bool((distance < 0.1).all())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.featurize", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=500, help="width of the photos; 3/4 of it is their height")
    parser.add_argument("--model", default="timm:resnet50", help="as image_encoder.model")
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", default="auto", help="as CSPOPS_WORKERS")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", default="auto", help="as CSPOPS_DEVICE")
    arguments = parser.parse_args(argv)
    host = Host(device=arguments.device, workers=arguments.workers)
    device, workers = host.torch_device(), host.decoders(by_path=True)
    network = build_image_network(arguments.model, pretrained=False, px=arguments.px, seed=0).to(device).eval()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_photos(folder, images=arguments.images, side=arguments.side)

        def source() -> Iterator[Tensor]:
            return batches(folder, table, px=arguments.px, batch=arguments.batch, workers=workers)

        ways: dict[str, Callable[[], np.ndarray]] = {
            "plain": lambda: loop(network, folder, arguments.images, px=arguments.px, batch=arguments.batch, device=device),
            "ours": lambda: ours(network, source(), device),
        }
        assert agree(ways["ours"](), ways["plain"](), device), "ours"
        times = timed(ways, arguments.repeats)
        alone = parts(network, source, device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    size = f"{arguments.side} x {arguments.side * 3 // 4}"
    print(
        f"{arguments.images} JPEGs of {size} pixels to {arguments.model} at {arguments.px} x {arguments.px} on {where}, "
        f"batches of {arguments.batch}, {workers} workers, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{arguments.repeats} repeats"
    )
    print_rates(times, arguments.images)
    print(f"{'alone':12}{'images/s':>10}{'share':>9}")
    for part, took_alone in alone.items():
        print(f"{part:12}{arguments.images / took_alone:10,.0f}{took_alone / sum(alone.values()):9.0%}")


if __name__ == "__main__":
    main()
