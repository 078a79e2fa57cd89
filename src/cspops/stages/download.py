"""download: raw inputs to the catalogue of observations."""

from typing import TYPE_CHECKING

from cspops.data.ingest import ingest
from cspops.data.rows import Source, batch
from cspops.data.sources import blue_marble
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
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    source = Source(batches=iter([batch(columns | {"where": columns["obs_id"]})]), inspection="none")
    ingest(
        source,
        site.out,
        inspect=None,
        scratch=site.scratch,
        min_class_size=view.min_class_size,
        max_rejected=view.max_rejected,
        bad_position=view.bad_position,
        duplicate_images=view.duplicate_images,
        merge_labels=view.merge_labels,
        report=site.report,
    )
