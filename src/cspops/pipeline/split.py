"""Stage split: decide which rows are unlabelled, few-shot labelled, validation or test."""

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import read_observations
from cspops.data.few_shot import describe_subsets, few_shot_levels
from cspops.data.roles import assign_roles
from cspops.data.splits import ROLES, ratio_key
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import SplitView

log = logging.getLogger(__name__)


HELD_OUT = ("val", "test", "spatial_val", "spatial_test")


def run(view: "SplitView", site: Site) -> None:
    """Write roles.parquet and few_shot.parquet, one row per observation in the catalogue's order, and subsets.json."""
    split, folder = view.split, site.inputs["download"]
    observations = read_observations(folder)
    by_place = split.unit == "location_id"
    place = pq.read_table(folder / "observations.parquet", columns=["location_id"])[0]
    roles = assign_roles(
        split,
        official=observations.official_split,
        labelled=observations.label >= 0,
        lonlat=observations.lonlat,
        location_id=place if by_place else None,
        seed=view.seed,
    )
    role_counts = Counter(roles)
    log.info(f"roles: {dict(role_counts)}")
    if set_aside := role_counts["buffer"]:
        km = split.buffer_km
        log.info(f"{set_aside} rows nearer than {km:g} km to the held-out blocks are neither trained nor tested on")
    if not by_place:
        _log_shared_places(place, roles)
    pq.write_table(pa.table({"obs_id": observations.obs_id, "role": roles}), site.out / "roles.parquet", compression="zstd")
    train = torch.tensor([role == "train" for role in roles])
    labelled = observations.label[train & (observations.label >= 0)].unique()
    if unlabelled := len(observations.classes) - len(labelled):
        log.info(f"{unlabelled} of {len(observations.classes)} classes have no labelled training row")
    levels = {
        f"seed_{seed}": few_shot_levels(observations.label, train, ratios=split.label_ratios, seed=seed) for seed in view.seeds
    }
    columns = {name: pa.array(column.numpy(), from_pandas=True) for name, column in levels.items()}
    table = pa.table({"obs_id": observations.obs_id} | columns)
    pq.write_table(table, site.out / "few_shot.parquet", compression="zstd")
    subsets = describe_subsets(observations.obs_id, observations.label, levels, ratios=split.label_ratios)
    (site.out / "subsets.json").write_text(json.dumps(subsets, indent=1) + "\n")
    for ratio in split.label_ratios:
        counts = sorted({subsets[seed][ratio_key(ratio)]["rows"] for seed in levels})
        log.info(f"label ratio {ratio:g}: {' or '.join(map(str, counts))} labelled rows")


def _log_shared_places(place: pa.ChunkedArray, roles: list[str]) -> None:
    """Log how many places have rows both in training and in a held-out role, if any."""
    codes = place.combine_chunks().dictionary_encode()
    row = np.flatnonzero(codes.indices.is_valid().to_numpy(zero_copy_only=False))
    number = codes.indices.drop_null().to_numpy()
    role = pc.index_in(pa.array(roles, pa.string()), pa.array(ROLES)).to_numpy()[row]
    places = len(codes.dictionary)
    trained, held_out = (
        np.bincount(number[which], minlength=places) > 0
        for which in (role == ROLES.index("train"), np.isin(role, [ROLES.index(name) for name in HELD_OUT]))
    )
    if shared := int((trained & held_out).sum()):
        log.info(
            f"{shared} of {places} places have rows in train and in a held-out role "
            "(split.unit: location_id keeps them together)"
        )
