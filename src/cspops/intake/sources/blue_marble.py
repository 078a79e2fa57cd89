"""The embedded source: geo-tagged squares of NASA's Blue Marble, labelled with the climate zone of their place.

An observation is a point on land, an image of its surroundings, and the Koeppen-Geiger zone at the point. Points are drawn
area-uniformly (`uniform`), where people take photos (`observers`), or preferably where zones meet (`borders`).

The image is the square around the point (`tile`), or a smaller one somewhere near it, in a light of its own (`glimpse`): as a
photo it shows a piece of the neighbourhood, so that the position tells what the image does not. Points, roles and labels are
the same for both. An overhead image beside it is a larger tile that holds the point off its middle.
"""

import csv
import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from cspops.climate_raster import SEA
from cspops.errors import DataError, ParamsError
from cspops.geo import KM_PER_DEGREE, blocks, destination, near_blocks, tile_grid, uniform_on_sphere, wrap_longitude
from cspops.intake.overhead_rows import BOX, with_overhead
from cspops.intake.rows import Source, batch
from cspops.intake.sources.off_centre import off_centre
from cspops.kernels import sqrt
from cspops.land import zones_at
from cspops.params.sections import BlueMarble, Glimpse
from cspops.seeds import torch_stream
from cspops.shapes import Float, Int, LonLat, Tensor, UInt8

log = logging.getLogger(__name__)

ROLES = ("train", "val", "test", "spatial_val", "spatial_test")

BATCH = 8192
"""Rows of a batch."""

Density = Literal["uniform", "observers", "borders"]

OBSERVER_SPREAD_KM = 400.0
OBSERVER_CENTRES = {
    # city: (longitude, latitude, weight). A stylised picture of where citizen scientists live: North America and
    # Europe weigh most, as in iNaturalist's own statistics; it is no measurement.
    "San Francisco": (-122.4, 37.8, 10), "Los Angeles": (-118.2, 34.1, 9), "Austin": (-97.7, 30.3, 8),
    "New York": (-74.0, 40.7, 9), "Toronto": (-79.4, 43.7, 6), "Seattle": (-122.3, 47.6, 4), "Miami": (-80.2, 25.8, 4),
    "Denver": (-105.0, 39.7, 4), "Chicago": (-87.6, 41.9, 5), "Mexico City": (-99.1, 19.4, 5), "Anchorage": (-149.9, 61.2, 1),
    "London": (-0.1, 51.5, 5), "Paris": (2.3, 48.9, 4), "Berlin": (13.4, 52.5, 4), "Vienna": (16.4, 48.2, 3),
    "Madrid": (-3.7, 40.4, 3), "Rome": (12.5, 41.9, 3), "Stockholm": (18.1, 59.3, 2), "Moscow": (37.6, 55.8, 3),
    "Novosibirsk": (82.9, 55.0, 1), "Yakutsk": (129.7, 62.0, 0.3), "Beijing": (116.4, 39.9, 1), "Tokyo": (139.7, 35.7, 2),
    "Hong Kong": (114.2, 22.3, 2), "Taipei": (121.5, 25.0, 3), "Singapore": (103.8, 1.4, 1), "Delhi": (77.2, 28.6, 1),
    "Bangalore": (77.6, 13.0, 1), "Nairobi": (36.8, -1.3, 1), "Cape Town": (18.4, -33.9, 4), "Durban": (31.0, -29.9, 2),
    "Casablanca": (-7.6, 33.6, 0.5), "Lagos": (3.4, 6.5, 0.3), "Sydney": (151.2, -33.9, 4), "Melbourne": (145.0, -37.8, 3),
    "Perth": (115.9, -31.9, 1), "Auckland": (174.8, -36.8, 3), "Sao Paulo": (-46.6, -23.6, 2), "Manaus": (-60.0, -3.1, 0.5),
    "Buenos Aires": (-58.4, -34.6, 2), "Santiago": (-70.7, -33.4, 1), "Lima": (-77.0, -12.0, 0.7), "Quito": (-78.5, -0.2, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Rasters:
    """The two global equirectangular rasters, north up, first pixel at 180 W 90 N."""

    image: UInt8[Tensor, "h w 3"]
    zones: UInt8[Tensor, "zone_h zone_w"]
    zone_names: dict[int, str]

    def zone_at(self, lonlat: LonLat) -> Int[Tensor, "*batch"]:
        """Return the code of the climate raster's pixel that each position lies in."""
        return zones_at(self.zones, lonlat)


def read_rasters(folder: Path) -> Rasters:
    """Read and check the raw inputs; DataError when one is missing or differs from the manifest."""
    manifest_file = folder / "manifest.json"
    if not manifest_file.is_file():
        raise DataError(
            f"{manifest_file} is missing",
            hint="dvc repro data.dvc; or, when data.dvc names a folder of your own, set dataset.source in params.yaml",
        )
    try:
        sums = {name: about["sha256"] for name, about in json.loads(manifest_file.read_text()).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{manifest_file} is broken", hint="dvc repro -f data.dvc") from None
    for name, expected in sums.items():
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing", hint="dvc repro data.dvc")
        if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise DataError(f"{file} differs from the sha256 in {manifest_file}", hint="dvc repro data.dvc")
    with Image.open(folder / "blue_marble.jpg") as image, Image.open(folder / "climate_zones.png") as zones:
        rasters = torch.from_numpy(np.array(image.convert("RGB"))), torch.from_numpy(np.array(zones))
    with (folder / "climate_zones.csv").open(newline="") as file_:
        names = {int(row["code"]): row["zone"] for row in csv.DictReader(file_) if int(row["code"]) != SEA}
    return Rasters(*rasters, zone_names=names)


def tiles(image: UInt8[Tensor, "h w 3"], lonlat: Float[Tensor, "n 2"], *, km: float, px: int) -> UInt8[Tensor, "n px px 3"]:
    """Cut a tile of ``km`` x ``km`` around each position, ``px`` x ``px`` pixels, bilinear, wrapping at the date line."""
    width = image.shape[1]
    # Columns are repeated beyond both borders, as many as the widest tile reaches.
    reach = km / KM_PER_DEGREE / 2 / float(torch.deg2rad(lonlat[:, 1]).cos().min().clamp_min(0.01))
    pad = min(width, int(reach * width / 360) + 2)
    padded = torch.cat((image[:, -pad:], image, image[:, :pad]), 1).permute(2, 0, 1)[None].float()
    out = torch.empty(len(lonlat), px, px, 3, dtype=torch.uint8)
    for start in range(0, len(lonlat), 4096):
        grid = tile_grid(lonlat[start : start + 4096], km=km, px=px)
        x = ((grid[..., 0] + 180) * (width / 360) + pad) / (width + 2 * pad) * 2 - 1
        y = (90 - grid[..., 1]) / 90 - 1
        sampled = torch.nn.functional.grid_sample(
            padded,
            torch.stack((x, y), -1).reshape(1, -1, px, 2).float(),
            padding_mode="border",
            align_corners=False,
        )
        out[start : start + 4096] = sampled[0].reshape(3, -1, px, px).permute(1, 2, 3, 0).round().to(torch.uint8)
    return out


def glimpses(
    image: UInt8[Tensor, "h w 3"], lonlat: Float[Tensor, "n 2"], settings: Glimpse, *, seed: int
) -> UInt8[Tensor, "n px px 3"]:
    """Cut a tile near each position, its centre uniform in the disc of `max_offset_km`, and change its light.

    Pixels are multiplied by a gain of the image (exposure) and one of each channel (white balance), all uniform in
    [1 - `exposure`, 1 + `exposure`].
    """
    u = torch.rand(len(lonlat), 6, generator=torch_stream(seed, "blue_marble", "glimpses"), dtype=torch.float64)
    centre = destination(lonlat, km=settings.max_offset_km * sqrt(u[:, 0]), bearing=2 * math.pi * u[:, 1])
    pixels = tiles(image, centre, km=settings.side_km, px=settings.px)
    gain = 1 + settings.exposure * (2 * u[:, 2:] - 1)
    light = (gain[:, :1] * gain[:, 1:]).float()[:, None, None]
    for part, factor in zip(pixels.split(BATCH), light.split(BATCH), strict=True):
        part.copy_((part * factor).round().clamp(0, 255))
    return pixels


def images(
    image: UInt8[Tensor, "h w 3"], lonlat: Float[Tensor, "n 2"], settings: BlueMarble, *, seed: int
) -> UInt8[Tensor, "n px px 3"]:
    """Return the chosen view of each position."""
    view = getattr(settings.views, settings.view)
    if isinstance(view, Glimpse):
        return glimpses(image, lonlat, view, seed=seed)
    return tiles(image, lonlat, km=view.side_km, px=view.px)


def zone_diversity(rasters: Rasters, lonlat: Float[Tensor, "n 2"], *, km: float) -> Float[Tensor, "n"]:
    """Return the Gini-Simpson index of the land zones in a square around each position: 1 - sum of squared shares, in [0, 1).

    It is the probability that two random land points of the square lie in different zones; the shares are read off
    an 8 x 8 lattice.
    """
    zones = rasters.zone_at(tile_grid(lonlat, km=km, px=8)).flatten(1)
    counts = torch.zeros(len(lonlat), SEA + 1).scatter_add_(1, zones, torch.ones_like(zones, dtype=torch.float32))
    counts[:, SEA] = 0
    land = counts.sum(1, keepdim=True)
    return torch.where(land[:, 0] > 0, 1 - (counts / land.clamp_min(1)).square().sum(1), 0.0)


def propose(n: int, *, density: Density, lat_min: float, lat_max: float, generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Draw ``n`` positions, land or sea, inside the belt of latitudes (`observers` may leave it)."""
    lonlat = uniform_on_sphere(n, generator=generator, lat_min=lat_min, lat_max=lat_max)
    if density != "observers":
        return lonlat
    centres = torch.tensor(list(OBSERVER_CENTRES.values()), dtype=torch.float64)
    chosen = centres[torch.multinomial(centres[:, 2], n, replacement=True, generator=generator), :2]
    step = torch.randn(n, 2, generator=generator, dtype=torch.float64) * (OBSERVER_SPREAD_KM / KM_PER_DEGREE)
    lat = (chosen[:, 1] + step[:, 1]).clamp(-89, 89)
    lon = wrap_longitude(chosen[:, 0] + step[:, 0] / torch.deg2rad(lat).cos())
    travels = torch.rand(n, generator=generator, dtype=torch.float64) < 0.1  # one in ten goes anywhere
    return torch.where(travels[:, None], lonlat, torch.stack((lon, lat), 1))


def draw(rasters: Rasters, settings: BlueMarble, *, seed: int) -> tuple[Float[Tensor, "n 2"], list[str], dict[str, int]]:
    """Draw the positions of every role.

    `spatial_val` and `spatial_test` come from `block_degrees` cells that hold no other role's point: each gets
    `block_share` of the cells that hold land. `train`, `val` and `test` are drawn by one law, from the land that is
    no nearer than `buffer_km` to these cells. The draw does not depend on `view`.

    By default the buffer is 240 km. A training glimpse reaches 100 + 60 sqrt 2 = 185 km from its place at most, a tile 170
    km, an overhead tile 70 + 120 sqrt 2 = 239.7 km: none reaches into a cell. But a glimpse of a place in a cell may leave
    it, and where two lean towards each other their centres may be 40 km apart: in the plane they share at most two thirds.
    At the default settings and seed 0 that happens to 0.9 % of the glimpses of `spatial_val` and 0.4 % of those of
    `spatial_test`, which share at most 31 and 18 % with any one of training. Two tiles share at most a corner, (1 - 1/sqrt
    2)^2 = 8.6 % (4 % of the spatial ones, at most 6 %).

    Zones of which a trial draw of the training set holds fewer than `min_zone_points` points are left out
    everywhere, as if they were sea.

    Returns:
        positions in degrees, role of each, and the zones left out with their trial counts.
    """

    sizes = {role: getattr(settings, role) for role in ROLES}
    lat_min, lat_max, block_degrees = settings.lat_min, settings.lat_max, settings.block_degrees

    def batches(purpose: str, allowed: Tensor, only: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        generator = torch_stream(seed, "blue_marble", purpose)
        while True:
            lonlat = propose(65536, density=settings.density, lat_min=lat_min, lat_max=lat_max, generator=generator)
            in_belt = (lonlat[:, 1] >= lat_min) & (lonlat[:, 1] <= lat_max)
            lonlat = lonlat[in_belt & allowed[rasters.zone_at(lonlat)]]
            lonlat = lonlat[only(lonlat)]  # before the diversity, which is what costs
            if settings.density == "borders":
                keep = sqrt(zone_diversity(rasters, lonlat, km=settings.border_km))
                lonlat = lonlat[torch.rand(len(lonlat), generator=generator) < keep]
            yield lonlat

    def first(n: int, purpose: str, allowed: Tensor, only: Callable[[Tensor], Tensor]) -> Tensor:
        parts, have, in_vain = [], 0, 0
        for lonlat in batches(purpose, allowed, only):
            parts.append(lonlat)
            have += len(parts[-1])
            in_vain = 0 if len(parts[-1]) else in_vain + 1
            if in_vain == 50:
                raise DataError(
                    f"dataset.blue_marble: 50 x 65536 positions drawn for {purpose!r} and none is usable",
                    hint="a wider belt (lat_min, lat_max), a larger border_km, or smaller blocks or buffer_km in params.yaml",
                )
            if have >= n:
                break
        return torch.cat(parts)[:n]

    def inside(cells: Tensor, lonlat: Tensor) -> Tensor:
        return torch.isin(blocks(lonlat, block_degrees), cells)

    anywhere = torch.ones(256, dtype=torch.bool)
    anywhere[SEA] = False
    trial = first(sizes["train"], "trial", anywhere, lambda lonlat: torch.ones(len(lonlat), dtype=torch.bool))
    counts = torch.bincount(rasters.zone_at(trial), minlength=256)
    left_out = {name: int(counts[code]) for code, name in rasters.zone_names.items() if counts[code] < settings.min_zone_points}
    allowed = anywhere & (counts >= settings.min_zone_points)
    if not allowed.any():
        raise DataError(
            f"params.yaml: dataset.blue_marble.min_zone_points is {settings.min_zone_points}: no zone has so many points",
            hint="lower it, or draw more points (dataset.blue_marble.train)",
        )

    held = blocks(trial[allowed[rasters.zone_at(trial)]], block_degrees).unique()
    held = held[torch.randperm(len(held), generator=torch_stream(seed, "blue_marble", "blocks"))]
    share = max(1, round(settings.block_share * len(held)))
    if 2 * share >= len(held):
        raise DataError(
            f"dataset.blue_marble: {len(held)} blocks hold land: too few for two spatial roles of {share} and the others",
            hint="smaller block_degrees or block_share in params.yaml",
        )
    cells = {"spatial_val": held[:share], "spatial_test": held[share : 2 * share]}

    positions, roles = [], []
    held_out = torch.cat(list(cells.values()))
    main = first(
        sizes["train"] + sizes["val"] + sizes["test"],
        "random",
        allowed,
        lambda lonlat: ~near_blocks(lonlat, held_out, block_degrees, km=settings.buffer_km),
    )
    positions.append(main)
    for role in ("train", "val", "test"):
        roles += [role] * sizes[role]
    for role, cell in cells.items():
        positions.append(first(sizes[role], role, allowed, partial(inside, cell)))
        roles += [role] * sizes[role]
    return torch.cat(positions), roles, left_out


def open_blue_marble(raw: Path, settings: BlueMarble, *, seed: int, overhead: bool = False) -> Source:
    """Draw the observations that `dataset.blue_marble` of params.yaml asks for, with overhead images or without."""
    if overhead and settings.overhead is None:
        raise ParamsError(
            "params.yaml: dataset.blue_marble.overhead is missing, and pretrain_img.method: gair takes overhead images",
            hint="overhead: {side_km: 240.0, px: 32, max_offset_km: 70.0}",
        )
    rasters = read_rasters(raw)
    lonlat, roles, left_out = draw(rasters, settings, seed=seed)
    if left_out:
        named = ", ".join(f"{zone} ({count})" for zone, count in left_out.items())
        log.info(f"zones with fewer than {settings.min_zone_points} points in a trial draw, left out: {named}")
    pixels = images(rasters.image, lonlat, settings, seed=seed)
    if overhead and settings.overhead is not None:
        view = settings.overhead
        centre, edges = off_centre(lonlat, view, seed=seed)
        from_above = tiles(rasters.image, centre, km=view.side_km, px=view.px), edges
        return Source(rows(rasters, lonlat, roles, pixels, from_above), inspection="none")
    return Source(rows(rasters, lonlat, roles, pixels), inspection="none")


def rows(
    rasters: Rasters,
    lonlat: Float[Tensor, "n 2"],
    roles: list[str],
    pixels: UInt8[Tensor, "n px px 3"],
    overhead: tuple[UInt8[Tensor, "n overhead_px overhead_px 3"], Float[Tensor, "n 4"]] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows for `ingest`: images as uncompressed PPM bytes (Parquet compresses), zones as labels."""
    for start in range(0, len(lonlat), BATCH):
        part = lonlat[start : start + BATCH]
        ids = [f"bm{row:06d}" for row in range(start, start + len(part))]
        made = batch(
            {
                "where": ids,
                "obs_id": ids,
                "lon": pa.array(part[:, 0].numpy()),
                "lat": pa.array(part[:, 1].numpy()),
                "label": [rasters.zone_names[zone] for zone in rasters.zone_at(part).tolist()],
                "official_split": roles[start : start + len(part)],
                "image": _ppm(pixels[start : start + BATCH]),
            }
        )
        if overhead is not None:
            tile, edges = (one[start : start + BATCH] for one in overhead)
            made = with_overhead(made, _ppm(tile), pa.FixedSizeListArray.from_arrays(edges.flatten().numpy(), type=BOX))
        yield made


def _ppm(pixels: UInt8[Tensor, "n px px 3"]) -> pa.StructArray:
    header = "P6 {} {} 255\n".format(*pixels.shape[1:3]).encode()
    content = pa.array([header + one.tobytes() for one in pixels.numpy()], pa.binary())
    return pa.StructArray.from_arrays([content, pa.nulls(len(pixels), pa.string())], ["bytes", "path"])
