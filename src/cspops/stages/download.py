"""download: raw inputs to the catalogue of observations."""

from collections import Counter
from typing import TYPE_CHECKING

from cspops.data import catalogue
from cspops.data.sources import blue_marble
from cspops.errors import DataError
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.views import DownloadView


def run(view: "DownloadView", site: Site) -> None:
    """Draw or read the source's rows, set the bad ones aside, write the catalogue."""
    settings = view.settings
    rasters = blue_marble.read_rasters(site.raw)
    lonlat, roles, left_out = blue_marble.draw(
        rasters,
        density=settings.density,
        sizes={role: getattr(settings, role) for role in ("train", "val", "test", "spatial_val", "spatial_test")},
        tile_km=settings.tile_km,
        lat_min=settings.lat_min,
        lat_max=settings.lat_max,
        block_degrees=settings.block_degrees,
        block_share=settings.block_share,
        buffer_km=settings.buffer_km,
        min_zone_points=settings.min_zone_points,
        seed=view.seed,
    )
    if left_out:
        named = ", ".join(f"{zone} ({count})" for zone, count in left_out.items())
        site.report(f"zones with fewer than {settings.min_zone_points} points in a trial draw, left out: {named}")
    rows = blue_marble.as_table(rasters, lonlat, roles, tile_km=settings.tile_km, tile_px=settings.tile_px)
    made = catalogue.validate(rows, min_class_size=view.min_class_size)
    if made.reasons() and not made.classes:
        commonest = next(iter(made.reasons()))
        raise DataError(
            f"no class is left: {len(made.rejected)} of {len(rows)} rows were set aside, most because {commonest}",
            hint="lower dataset.min_class_size in params.yaml, or mend the source's rows",
        )
    catalogue.write_catalogue(made, site.out)
    sizes = Counter(made.observations["official_split"].to_pylist())
    site.report(f"{len(made.observations)} observations of {len(made.classes)} classes: {dict(sizes)}")
    site.report(f"{len(made.rejected)} rows set aside" + "".join(f"; {count}: {why}" for why, count in made.reasons().items()))
