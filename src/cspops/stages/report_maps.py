"""The maps of stage report that need models: clusters of location embeddings, and P(y|x) of one class."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cspops.data.catalogue import Observations
from cspops.data.splits import read_few_shot
from cspops.errors import ParamsError
from cspops.evaluation import embedding_map
from cspops.evaluation.combine import location_log_p
from cspops.models.loading import load_location_classifier, load_location_encoder
from cspops.report import maps
from cspops.report.land import is_land
from cspops.report.world import World
from cspops.shapes import Bool, Tensor
from cspops.stages.pieces import piece

if TYPE_CHECKING:
    from cspops.params.views import ReportView


PRETRAIN, FINETUNE = "dvc repro pretrain", "dvc repro finetune-loc"


def class_of_map(name: str | None, observations: Observations) -> int:
    """The number of the class that params.yaml names, or of the one with the most observations."""
    if name is None:
        return int(torch.bincount(observations.label[observations.label >= 0]).argmax())
    if name not in observations.classes:
        near = difflib.get_close_matches(name, observations.classes, n=1, cutoff=0.5)
        some = ", ".join(observations.classes[:40]) + (" ..." if len(observations.classes) > 40 else "")
        guess = f"did you mean `{near[0]}`?" if near else f"the classes are {some}"
        raise ParamsError(
            f"params.yaml: report.class: {name!r} is not a class of the data; {guess}", hint="mend it, or set null"
        )
    return observations.classes.index(name)


def encoder_title(view: "ReportView") -> str:
    """What the location encoder has gone through before fine-tuning."""
    return "untrained (loss none)" if view.loss == "none" else f"pre-trained ({view.loss})"


def draw_clusters(
    view: "ReportView", inputs: Mapping[str, Path], world: World, file: Path, *, apart: Path | None = None
) -> float:
    """Clusters of the first seed's embeddings before and after fine-tuning on the fewest labels, over land.

    ``apart`` is for each map alone, see `maps.observation_map`.

    Returns:
        the share of the land whose cluster after fine-tuning is matched with its cluster before.
    """
    seed, ratio = view.seeds[0], view.label_ratios[0]
    lonlat = embedding_map.area_fair_grid(view.report.grid_degrees)
    lat = lonlat[:, 1]
    lonlat = lonlat[torch.from_numpy(is_land(lonlat.numpy())) & (lat >= world.south) & (lat <= world.north)]
    classifier = load_location_classifier(inputs["finetune-loc"] / piece(seed, ratio), remake=FINETUNE)
    encoders = {
        f"{encoder_title(view)}, seed {seed}": load_location_encoder(inputs["pretrain"] / f"seed_{seed}", remake=PRETRAIN),
        fine_tuned_title(ratio, seed): classifier.encoder,
    }
    embeddings = [embedding_map.directions(encoder, lonlat) for encoder in encoders.values()]
    before, after = (embedding_map.hierarchical_clusters(some, view.report.clusters) for some in embeddings)
    before = embedding_map.ordered_by(before, -lonlat[:, 1].abs().numpy())
    after, kept = embedding_map.matched(after, before)
    panels = dict(zip(encoders, (before, after), strict=True))
    maps.cluster_map(panels, lonlat.numpy(), world, file, apart=apart)
    return kept


@torch.inference_mode()
def draw_class(
    view: "ReportView",
    inputs: Mapping[str, Path],
    world: World,
    observations: Observations,
    chosen: int,
    *,
    test: Bool[Tensor, "n"],
    file: Path,
    apart: Path | None = None,
) -> list[str]:
    """P(y|x) of one class over land, by the first seed's classifiers of the smallest and the largest label ratio.

    Returns:
        the title of each map.
    """
    seed, lonlat = view.seeds[0], torch.from_numpy(world.lonlat)
    of_class = (observations.label == chosen) & observations.located
    panels = {}
    for ratio in sorted({view.label_ratios[0], view.label_ratios[-1]}):
        classifier = load_location_classifier(inputs["finetune-loc"] / piece(seed, ratio), remake=FINETUNE)
        located = torch.ones(len(lonlat), dtype=torch.bool)
        log_p = [location_log_p(classifier(some), located[: len(some)], link=classifier.link) for some in lonlat.split(8192)]
        p = torch.cat([some[:, chosen].exp() for some in log_p])
        few = read_few_shot(inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
        panels[fine_tuned_title(ratio, seed)] = maps.ClassPanel(p.numpy(), observations.lonlat[few & of_class].numpy())
    of_test = observations.lonlat[test & of_class].numpy()
    maps.class_map(panels, observations.classes[chosen], of_test, world, file, apart=apart)
    return list(panels)


def fine_tuned_title(ratio: float, seed: int) -> str:
    """Of a map of fine-tuned models."""
    return f"fine-tuned on {100 * ratio:g} % of the labels, seed {seed}"
