"""Stage split: decide which rows are unlabelled, few-shot labelled, validation or test."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import read_observations
from cspops.data.few_shot import choosing_levels, describe_subsets, few_shot_levels
from cspops.data.roles import assign_roles
from cspops.data.splits import CHOOSERS, ROLES, ratio_key
from cspops.shapes import Float, Tensor
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import SplitView

log = logging.getLogger(__name__)


HELD_OUT = ("val", "test", "spatial_val", "spatial_test")


def run(view: "SplitView", site: Site) -> None:
    """Write roles.parquet, few_shot.parquet and choosing.parquet, one row per observation in the catalogue's order.

    And subsets.json, about the few-shot subsets.
    """
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
    validation = {role: torch.tensor([one == role for one in roles]) for role in CHOOSERS}
    choosing = {
        f"seed_{seed}": choosing_levels(
            observations.label, validation, ratios=split.label_ratios, seed=seed, val_labels=split.val_labels
        )
        for seed in view.seeds
    }
    for name, by_seed in (("few_shot", levels), ("choosing", choosing)):
        _write_levels(site.out / f"{name}.parquet", observations.obs_id, by_seed)
    subsets = describe_subsets(observations.obs_id, observations.label, levels, ratios=split.label_ratios)
    (site.out / "subsets.json").write_text(json.dumps(subsets, indent=1) + "\n")
    for ratio in split.label_ratios:
        counts = sorted({subsets[seed][ratio_key(ratio)]["rows"] for seed in levels})
        log.info(f"label ratio {ratio:g}: {' or '.join(map(str, counts))} labelled rows")
        if split.val_labels == "as_labels":
            counts = sorted({int((level <= np.float32(ratio)).sum()) for level in choosing.values()})
            log.info(f"label ratio {ratio:g}: {' or '.join(map(str, counts))} labelled validation rows may choose")


def _write_levels(file: Path, obs_id: list[str], levels: Mapping[str, Float[Tensor, "n"]]) -> None:
    """Write the smallest label ratio at which each row counts, a column a seed; null for never."""
    columns = {name: pa.array(level.numpy(), from_pandas=True) for name, level in levels.items()}
    pq.write_table(pa.table({"obs_id": obs_id} | columns), file, compression="zstd")


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
