"""The twelve-month strip of stage report: P(y|x, t) of a class over land, by a classifier that takes dates."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cspops.data.catalogue import Observations
from cspops.data.dates import day_share
from cspops.data.splits import piece, read_few_shot
from cspops.evaluation.predictor import LocationPredictor
from cspops.models.loading import load_location_classifier
from cspops.report.model_maps import FINETUNE, labels_title
from cspops.report.month_figure import MONTHS, PIXELS, month_map
from cspops.report.reach import Reach
from cspops.report.world import World

if TYPE_CHECKING:
    from cspops.params.graph import ReportView

ROWS = 8192


@torch.inference_mode()
def draw_class_months(
    view: "ReportView", inputs: Mapping[str, Path], world: World, observations: Observations, chosen: int, file: Path
) -> str | None:
    """Draw the class in the middle of each month, by the first seed's classifier of the largest label ratio.

    It is drawn as far as `Reach.of` the labelled places, and on fewer pixels than ``world``.

    Returns:
        the title of the picture, which it does not hold; None where the location encoder takes no dates, and nothing is drawn.
    """
    seed, ratio = view.seeds[0], view.label_ratios[-1]
    classifier = load_location_classifier(inputs["finetune-loc"] / piece(seed, ratio), remake=FINETUNE)
    if not classifier.encoder.takes_time:
        return None
    width = min(PIXELS, world.land.shape[1])
    small = World(world.south, world.north, west=world.west, east=world.east, width=width)
    few = read_few_shot(inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
    reach = Reach.of(observations.lonlat[few & observations.located].numpy())
    drawn, location = reach.within(small.lonlat, slack_km=small.half_pixel_km), LocationPredictor(classifier)
    places = torch.from_numpy(small.lonlat[drawn])
    panels = {}
    for month in MONTHS:
        when = torch.full((len(places),), day_share(month), dtype=torch.float64)
        blocks = zip(places.split(ROWS), when.split(ROWS), strict=True)
        panels[month] = np.full(len(drawn), np.nan)
        panels[month][drawn] = np.concatenate([location(*block)[:, chosen].exp().numpy() for block in blocks])
    month_map(panels, observations.classes[chosen], small, file, title=None, note=None)
    end = "" if math.isinf(reach.km) else f", hatched beyond {reach.km:,g} km"
    return f"in the middle of each month, {labels_title(ratio, seed)}{end}"
