"""The fusion of image and place of one seed and label ratio, in stage finetune-loc: fusion/ in the folder of its e(x)."""

import json
from pathlib import Path

import numpy as np
import torch

from cspops.data.catalogue import Observations
from cspops.data.countries import continents_and_countries
from cspops.data.features import Features
from cspops.errors import DataError
from cspops.evaluation.metrics import FUSION
from cspops.models.checkpoint import save_model
from cspops.models.location_encoder import ROWS_AT_ONCE, LocationClassifier
from cspops.params.location_classifiers import Fusion
from cspops.shapes import Bool, Float, Tensor
from cspops.training.curves import write_curve
from cspops.training.fusion import Domains, Pairs, TrainedFusion, train_fusion
from cspops.training.loop import Run


def write_fusion(
    folder: Path,
    location: LocationClassifier,
    settings: Fusion,
    observations: Observations,
    features: Features,
    rows: tuple[Bool[Tensor, "n"], Bool[Tensor, "n"]],
    run: Run,
) -> TrainedFusion:
    """Train a head and write it with curve.tsv and kept.json.

    Args:
        folder: of the piece.
        location: its classifier, in eval mode.
        features: F*(I) of all rows.
        rows: the few-shot rows, and the validation rows that may choose. Only those with a position count.
    """
    few, val = (mask & observations.located for mask in rows)
    if not val.any():
        raise DataError(
            "no row of role val has a label and a position: finetune_loc.fusion keeps what is best on them",
            hint="set finetune_loc.fusion.head to none, or change split, in params.yaml",
        )

    def pairs(mask: Bool[Tensor, "n"]) -> Pairs:
        image_features = torch.from_numpy(features[mask.numpy()]).float()
        loc_emb = embeddings(location, observations.lonlat[mask], observations.when[mask], run.device)
        return Pairs(image_features, loc_emb, observations.label[mask], len(observations.classes))

    domains = None
    if settings.domain_weight:
        continents, _ = continents_and_countries(observations.lonlat[few].double().numpy())
        domains = Domains(torch.from_numpy(continents.number.astype(np.int64)), len(continents.names))
    trained = train_fusion(pairs(few), location, settings, val=pairs(val), domains=domains, run=run)
    out = folder / FUSION
    save_model(out, trained.head, trained.head.config)
    write_curve(out / "curve.tsv", trained.curve, columns=("step", "total", "val_nll"))
    numbers = {"start": trained.start, "start_nll": trained.start_nll, "val_nll": trained.val_nll, "step": trained.step}
    (out / "kept.json").write_text(json.dumps(numbers, indent=1) + "\n")
    return trained


@torch.no_grad()
def embeddings(
    location: LocationClassifier, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"], device: torch.device
) -> Float[Tensor, "n d"]:
    """Return e(x, t) of positions with their dates, on the CPU."""
    encoder = location.to(device).eval().encoder
    parts = zip(lonlat.split(ROWS_AT_ONCE), when.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([encoder(place.to(device), date.to(device)).cpu() for place, date in parts])


def words(trained: TrainedFusion) -> str:
    """Return how a head was made, for the log."""
    return (
        f"fusion: val NLL of the {trained.start} {trained.start_nll:.3f}, {trained.val_nll:.3f} after step {trained.step} "
        f"of {trained.curve[-1]['step']:g}, kept"
    )
