"""split: who is unlabelled, few-shot labelled, validation or test."""

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data import splits
from cspops.data.catalogue import read_observations
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.views import SplitView


def run(view: "SplitView", site: Site) -> None:
    """Write roles.parquet and few_shot.parquet: one row an observation, in the catalogue's order."""
    observations = read_observations(site.inputs["download"])
    roles = splits.assign_roles(
        official=observations.official_split,
        lonlat=observations.lonlat,
        method=view.split.method,
        val=view.split.val,
        test=view.split.test,
        spatial_val=view.split.spatial_val,
        spatial_test=view.split.spatial_test,
        block_degrees=view.split.block_degrees,
        buffer_km=view.split.buffer_km,
        seed=view.seed,
    )
    counts_of_roles = Counter(roles)
    site.report(f"roles: {dict(counts_of_roles)}")
    if set_aside := counts_of_roles["buffer"]:
        km = view.split.buffer_km
        site.report(f"{set_aside} rows nearer than {km:g} km to the held-out blocks are neither trained nor tested on")
    pq.write_table(pa.table({"obs_id": observations.obs_id, "role": roles}), site.out / "roles.parquet", compression="zstd")
    train = torch.tensor([role == "train" for role in roles])
    levels = {
        f"seed_{seed}": splits.few_shot_levels(observations.label, train, ratios=view.split.label_ratios, seed=seed).numpy()
        for seed in view.seeds
    }
    table = pa.table(
        {"obs_id": observations.obs_id} | {name: pa.array(column, from_pandas=True) for name, column in levels.items()}
    )
    pq.write_table(table, site.out / "few_shot.parquet", compression="zstd")
    for ratio in view.split.label_ratios:
        counts = sorted({int((column <= ratio).sum()) for column in levels.values()})
        site.report(f"label ratio {ratio:g}: {' or '.join(map(str, counts))} labelled rows")
