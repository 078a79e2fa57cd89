"""Retrieval embeddings: what unlabelled images taken nearby, and at places alike, look like (RANGE, Dhakal et al. 2025).

With rows j of a database of images at x_j, u the unit vectors of places, V_j = F*(I_j) and q = e(x) / |e(x)|:

    s = softmax_j(12 q K_j)        semantic: places whose images look as e(x) expects
    g = softmax_j(40 u u_j)        geographic: a kernel of 1 / sqrt(40) radians, some 1,000 km
    r(x) = [(1 - b) sum_j g_j V_j + b sum_j s_j V_j ; e(x)],    b = 0.5

The numbers are those of RANGE+. K_j is the normalised image embedding of row j. Pre-training drops its projection W when it
ends; here W is the ridge regression of e(x_j) on F*(I_j) over the database, whose strength leave-one-out errors choose.

No label is read, and the database is the training rows alone. A row nearer to x than a distance, and every row of a
`location_id` that has such a row, is left out: the image of the place itself, which is asked for in use and would be known in
no other place, never answers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import nn
from torch.nn.functional import normalize

from cspops.data.catalogue import read_captures
from cspops.data.features import read_features
from cspops.data.splits import read_roles
from cspops.errors import DataError
from cspops.geo import EARTH_RADIUS_KM, unit_vectors
from cspops.library.loading import run_of
from cspops.library.model import Model
from cspops.models.heads import Standardise
from cspops.models.location_encoder import ROWS_AT_ONCE, LocationEncoder
from cspops.shapes import Bool, Float, Int, LonLat, Tensor

SEMANTIC, GEOGRAPHIC, BALANCE = 12.0, 40.0, 0.5
TABLE = 2**24
"""Weights that are held at once: 64 MB for each of the two kinds."""
MOST_FITTED = 20_000
"""Rows that the projection is fitted on; of more, evenly spaced ones."""
STRENGTHS = tuple(10.0**power for power in range(-1, 6))
LEAVE_OUT_KM = 1.0
STAGES = ("download", "split", "featurize")
"""Whose artefacts are read."""


@dataclass(frozen=True)
class Database:
    """Unlabelled images with their places."""

    lonlat: Float[Tensor, "m 2"]
    features: Float[Tensor, "m k"]
    """F*(I)."""
    place: Int[Tensor, "m"]
    """A number for each `location_id`; -1 without one."""


def read_database(run: Path) -> Database:
    """Read the training rows of a run that have a position, from its artefacts; DataError where a stage is missing."""
    captures = read_captures(run / "download")
    rows = read_roles(run / "split", captures.obs_id)["train"] & ~captures.lonlat.isnan().any(1)
    at = rows.nonzero()[:, 0]
    features = torch.from_numpy(read_features(run / "featurize", captures.obs_id)[at.numpy()].astype(np.float32))
    if not len(at):
        raise DataError(f"{run}: no training row has a position to retrieve images by", hint="dvc repro split")
    return Database(captures.lonlat[at], features, captures.place[at])


def features_of(run: Path, obs_id: tuple[str, ...]) -> Float[Tensor, "n k"] | None:
    """Return F*(I) of the catalogue's rows of these ids; None where one is no row of it."""
    known = read_captures(run / "download").obs_id
    rows = pc.index_in(pa.array(obs_id), pa.array(known))
    if rows.null_count:
        return None
    return torch.from_numpy(read_features(run / "featurize", known)[rows.to_numpy()].astype(np.float32))


def run_with_images(folder: Path) -> Path | None:
    """Return the artefacts of the run whose project or model lies in a folder, where it has image features."""
    near = (run_of(folder), *folder.resolve().parents[:3])
    return next((one for one in near if one is not None and all((one / stage).is_dir() for stage in STAGES)), None)


def with_retrieval(model: Model, folder: Path, *, leave_out_km: float) -> Model:
    """Return a model whose location embeddings are r(x), by the images of the run that ``folder`` belongs to.

    Raise a DataError where there is no such run, or its artefacts are not whole.
    """
    database = read_database(images_of(folder))
    return Model(Retrieval(model.encoder, database, leave_out_km=leave_out_km), device=model.device, folders=model.folders)


def images_of(folder: Path) -> Path:
    """Return `run_with_images`; raise a DataError for a folder that has none."""
    run = run_with_images(folder)
    if run is None:
        raise DataError(
            f"{folder} belongs to no run with image features to retrieve", hint="--retrieval needs a project that has been run"
        )
    return run


class Retrieval(LocationEncoder):
    """Positions to r(x), whose width k + d is ``dim``: it stands in for a location encoder, and is never trained.

    Of an encoder that takes time it is an average over the year.
    """

    def __init__(self, encoder: LocationEncoder, database: Database, *, leave_out_km: float = LEAVE_OUT_KM) -> None:
        """Compute the keys of the database.

        Args:
            encoder: e, in eval mode.
            database: rows in any order.
            leave_out_km: rows nearer than that are left out, by great circle.
        """
        nn.Module.__init__(self)
        self.time = None
        self.config, self.encoder, self.leave_out_km = encoder.config, encoder, leave_out_km
        self.values, self.place = database.features, database.place
        self.unit = unit_vectors(database.lonlat.double())
        self.keys = normalize(self._projected(database), dim=1)
        self.dim = self.values.shape[1] + encoder.dim
        self.eval()

    def prepare(self, lonlat: LonLat, when: Float[Tensor, "*batch"] | None = None) -> Float[Tensor, "*batch 2"]:
        """Return the positions as they are."""
        return lonlat.double()

    @torch.no_grad()
    def embed(self, prepared: Float[Tensor, "n 2"], repeated: int = 0) -> Float[Tensor, "n w"]:
        """Return r(x) of positions in degrees, on their device.

        Raise a DataError where the whole database lies too near to one of them.
        """
        rows = max(1, TABLE // len(self.keys))
        return torch.cat([self._block(some.cpu()) for some in prepared.split(rows)]).to(prepared.device)

    def _block(self, lonlat: Float[Tensor, "b 2"]) -> Float[Tensor, "b w"]:
        loc_emb = self._encoded(lonlat)
        cosine = unit_vectors(lonlat) @ self.unit.T
        near = self._left_out(cosine)
        if bool(near.all(1).any()):
            raise DataError(
                f"all {len(self.keys):,} images lie within {self.leave_out_km:g} km of one place",
                hint="a smaller --leave-out-km",
            )
        semantic = (SEMANTIC * (normalize(loc_emb, dim=1) @ self.keys.T)).masked_fill(near, -torch.inf).softmax(1)
        geographic = (GEOGRAPHIC * cosine).float().masked_fill(near, -torch.inf).softmax(1)
        return torch.cat(((BALANCE * semantic + (1 - BALANCE) * geographic) @ self.values, loc_emb), 1)

    def _left_out(self, cosine: Float[Tensor, "b m"]) -> Bool[Tensor, "b m"]:
        """Return which rows of the database each position must not see. Chords order points as great circles do."""
        near: Tensor = (2 - 2 * cosine).clamp(min=0).sqrt() <= 2 * np.sin(
            min(self.leave_out_km / EARTH_RADIUS_KM, np.pi) / 2
        ) + 1e-7
        named = (self.place >= 0).nonzero()[:, 0]
        if len(named) and bool(near[:, named].any()):
            numbers, place = self.place[named].unique(return_inverse=True)
            seen = torch.zeros(len(near), len(numbers)).index_add_(1, place, near[:, named].float()) > 0
            near[:, named] |= seen[:, place]
        return near

    def _encoded(self, lonlat: Float[Tensor, "n 2"]) -> Float[Tensor, "n d"]:
        device = next(self.encoder.parameters(), lonlat).device
        return torch.cat([self.encoder(some.to(device)).float().cpu() for some in lonlat.split(ROWS_AT_ONCE)])

    @torch.no_grad()
    def _projected(self, database: Database) -> Float[Tensor, "m d"]:
        """Return W F*(I) of all rows."""
        from sklearn.linear_model import RidgeCV

        some = torch.arange(len(database.features))[:: max(1, -(-len(database.features) // MOST_FITTED))]
        standard = Standardise(database.features.shape[1]).fit(database.features[some])(database.features)
        target = self._encoded(database.lonlat[some])
        fit = RidgeCV(alphas=STRENGTHS).fit(standard[some].double().numpy(), target.double().numpy())
        weight, bias = (torch.from_numpy(np.atleast_1d(one)).float() for one in (fit.coef_, fit.intercept_))
        projected: Tensor = standard @ weight.reshape(-1, standard.shape[1]).T + bias
        return projected
