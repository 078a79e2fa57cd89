"""GeoPackage and shapefile, in batches."""

import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from cspops.errors import DataError
from cspops.intake.tables.geometry import centroid_remark, positions_of_wkb, to_degrees, unknown_system_remark
from cspops.intake.tables.records import Records, shortened

BATCH = 20_000


class VectorTable:
    """A table, see `table_files.Table`. DataError where the file is damaged, or has not one layer with geometries."""

    def __init__(self, file: Path) -> None:
        import pyogrio

        self.file = file
        self.remarks: list[str] = []
        try:
            with warnings.catch_warnings(action="ignore"):
                layers = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
                about = pyogrio.read_info(file, layer=layers[0]) if len(layers) == 1 else {}
        except RuntimeError as error:  # all of pyogrio's are
            raise DataError(f"{file.name} is damaged or has lost a part: {shortened(str(error))}") from None
        if len(layers) != 1:
            what = f"{len(layers)} layers with geometries: {', '.join(layers)}" if layers else "no layer with geometries"
            raise DataError(f"{file.name} has {what}", hint="save the one of the images as a file of its own")
        self.layer = layers[0]
        self.names: list[str] = about["fields"].tolist()
        self.has_geometry = True
        self.crs: str | None = about["crs"]
        if self.crs is None:
            self.remarks.append(unknown_system_remark(file.name))

    def records(self, wanted: Collection[str]) -> Iterator[Records]:
        """Yield all rows."""
        import pyogrio

        degrees = to_degrees(self.crs, self.file.name) if self.crs else None
        number, centroids = 1, 0
        options = {"layer": self.layer, "columns": list(wanted), "batch_size": BATCH, "use_pyarrow": True}
        try:
            with warnings.catch_warnings(action="ignore"), pyogrio.open_arrow(self.file, **options) as (about, reader):
                for rows in reader:
                    geometry = rows.column(about["geometry_name"] or "wkb_geometry")
                    made = positions_of_wkb(geometry, degrees)
                    centroids += made.centroids
                    reasons = {i: (why, f"{len(geometry[i].as_py())} bytes") for i, why in made.reasons.items()}
                    lonlat = tuple(pa.array(axis, mask=np.isnan(axis)) for axis in (made.lon, made.lat))
                    numbers = pa.array(np.arange(number, number + len(rows)))
                    yield Records(numbers, {name: rows.column(name) for name in wanted}, (lonlat[0], lonlat[1]), reasons)
                    number += len(rows)
        except (RuntimeError, OSError, pa.ArrowException) as error:
            raise DataError(f"{self.file.name} is damaged after row {number - 1}: {shortened(str(error))}") from None
        if centroids:
            self.remarks.append(centroid_remark(self.file.name, centroids))
