"""Geo-tagged photos that the tests make: colour says the class, so does the place, each with noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

CLASSES = {"heath": (-4.0, 57.0, (200, 120, 60)), "marsh": (5.0, 52.5, (60, 160, 200)), "oak wood": (12.0, 48.0, (40, 140, 50))}
"""Class: longitude and latitude around which it is found, degrees, and its colour."""


@dataclass(frozen=True)
class Photo:
    path: str
    label: str
    lon: float
    lat: float


def draw_photos(n: int, *, seed: int = 0) -> list[tuple[Photo, Image.Image]]:
    """n photos of 40 x 30 px, classes in turn."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        label = list(CLASSES)[number % len(CLASSES)]
        lon, lat, colour = CLASSES[label]
        noise = rng.normal(0, 25, (30, 40, 3))
        pixels = np.clip(np.array(colour) + noise + rng.normal(0, 20, 3), 0, 255).astype(np.uint8)
        where = (round(float(rng.normal(lon, 2)), 6), round(float(rng.normal(lat, 1.5)), 6))
        made.append((Photo(f"{label}/{number:04d}.jpg", label, *where), Image.fromarray(pixels)))
    return made


def gps_exif(lon: float, lat: float, *, taken: str = "2021:06:05 12:13:14") -> Image.Exif:
    """EXIF with a position in degrees, minutes and seconds (to 1e-4 seconds), and a date."""

    def dms(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
        total = round(abs(degrees) * 3600 * 10_000)
        whole, rest = divmod(total, 3600 * 10_000)
        minutes, seconds = divmod(rest, 60 * 10_000)
        return IFDRational(whole, 1), IFDRational(minutes, 1), IFDRational(seconds, 10_000)

    exif = Image.Exif()
    exif[0x8825] = {1: "N" if lat >= 0 else "S", 2: dms(lat), 3: "E" if lon >= 0 else "W", 4: dms(lon)}
    exif[0x8769] = {0x9003: taken}
    return exif


def write_photos(folder: Path, n: int, *, exif: bool, seed: int = 0) -> list[Photo]:
    """JPEGs in a sub-folder for each class."""
    photos = []
    for photo, image in draw_photos(n, seed=seed):
        file = folder / photo.path
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, quality=90, **({"exif": gps_exif(photo.lon, photo.lat)} if exif else {}))
        photos.append(photo)
    return photos
