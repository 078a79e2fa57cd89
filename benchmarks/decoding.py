"""Measure images per second from files to squares of pixels, by no, one and two workers, against a plain loop over Pillow.

    python -m benchmarks.decoding [--images 6000] [--side 500] [--px 224] [--repeats 1] [--workers 0 1 2]

run from the project's root. The JPEGs are made for it: smooth colours with a little noise, as photos compress. The ways are
timed in turn, ``repeats`` times; the table shows medians, and of ratios the medians of the repeats' own. Starting the
workers counts. On a machine with other work or fewer cores than workers the ratios mean little.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from cspops.pixels.decoding import squares
from cspops.pixels.reading import IMAGE, Reading
from cspops.pixels.workers import Workers


def write_photos(folder: Path, *, images: int, side: int) -> pa.Table:
    """Write JPEGs of ``side`` pixels, 4 by 3, and return the column of a catalogue that names them."""
    draws = np.random.default_rng(0)
    for number in range(images):
        coarse = Image.fromarray(draws.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side * 3 // 4), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = (smooth + draws.integers(-8, 9, smooth.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number}.jpg", quality=90)
    return pa.table({"image": pa.array([{"bytes": None, "path": f"{number}.jpg"} for number in range(images)], IMAGE)})


def plain(folder: Path, images: int, px: int) -> np.ndarray:
    """Decode as anybody would."""
    out = np.empty((images, px, px, 3), np.uint8)
    for number in range(images):
        with Image.open(io.BytesIO((folder / f"{number}.jpg").read_bytes())) as opened:
            image = opened.convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        resized = image.resize((px, px), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        out[number] = np.asarray(resized)
    return out


def ours(folder: Path, table: pa.Table, px: int, workers: int) -> np.ndarray:
    """Decode as featurize does."""
    out = np.empty((len(table), px, px, 3), np.uint8)
    with Workers(workers) as started:
        pixels = squares([(range(len(table)), table)], px=px, root=folder, reading=Reading(), map=started.map)
        for number, image in enumerate(pixels):
            out[number] = image
    return out


def seconds(call: Callable[[], object]) -> float:
    """Return the wall seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timed(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time the ways in turn, ``repeats`` times, and return the seconds of each."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, call in ways.items():
            times[way].append(seconds(call))
    return times


def print_rates(times: Mapping[str, Sequence[float]], images: int) -> None:
    """Print images per second of each way, and how many times as fast as the way `plain` it is."""
    print(f"{'':12}{'images/s':>10}{'x plain':>9}")
    for way, took in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["plain"], took, strict=True))
        print(f"{way:12}{images / statistics.median(took):10,.0f}{ratio:9.2f}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--side", type=int, default=500, help="width of the photos; 3/4 of it is their height")
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_photos(folder, images=arguments.images, side=arguments.side)
        ways: dict[str, Callable[[], np.ndarray]] = {"plain": lambda: plain(folder, arguments.images, arguments.px)}
        for workers in arguments.workers:
            ways[f"{workers} workers"] = lambda workers=workers: ours(folder, table, arguments.px, workers)  # type: ignore[misc]
        expected = ways["plain"]()
        for way, call in ways.items():
            assert np.array_equal(call(), expected), way
        times = timed(ways, arguments.repeats)
    size = f"{arguments.side} x {arguments.side * 3 // 4}"
    cores = f"{os.cpu_count()} cores, {arguments.repeats} repeats"
    print(f"{arguments.images} JPEGs of {size} pixels to {arguments.px} x {arguments.px}, {cores}")
    print_rates(times, arguments.images)


if __name__ == "__main__":
    main()
