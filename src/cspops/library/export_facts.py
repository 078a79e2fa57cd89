"""Where a model came from, read from the folders around it, for the card of an exported folder."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.artefacts import json_as
from cspops.data.catalogue import Observations, read_observations
from cspops.data.given_features import GIVEN
from cspops.data.json_files import Document
from cspops.data.splits import ratio_key, read_few_shot, read_roles
from cspops.evaluation.metrics import FUSION, MODELS
from cspops.evaluation.predictions import predictions_table
from cspops.evaluation.released import NAME as RELEASED
from cspops.evaluation.results import ratio_of, read_metrics
from cspops.intake.published.manifest import MANIFESTS, read_manifest
from cspops.library.loading import chosen_piece, run_of
from cspops.library.model import Model
from cspops.models.released import SOURCE
from cspops.params.graph import StageRecord

STAGES = ("download", "split", "pretrain_img", "pretrain", "finetune_loc", "finetune_img")
LEFT_OUT = ("seeds", "split.label_ratios", "dataset.max_rejected", "dataset.folder", "dataset.table")
SAMPLE = {
    "title": "NASA Blue Marble images with Koeppen-Geiger climate zones",
    "licence": "imagery: public domain (NASA Earth Observatory); climate zones: BSD 3-clause",
    "citation": "Stoeckli, R., Vermote, E., Saleous, N., Simmon, R., Herring, D. (2005), The Blue Marble Next Generation. "
    "Rubel, F., Brugger, K., Haslinger, K., Auer, I. (2017), The climate of the European Alps: Shift of very high resolution "
    "Koeppen-Geiger climate zones 1800-2100, Meteorologische Zeitschrift 26(2), 115-125, doi 10.1127/metz/2016/0816.",
    "non_commercial": False,
}
"""Facts of the embedded data; a test compares them with the README beside the data."""


@dataclass(frozen=True)
class Origin:
    """The run and the part of it that a model is."""

    run: Path | None
    """The folder with the outputs of the stages; None for an imported checkpoint."""
    stage: str
    """`run`: all that a project trained; `pretrain` or `finetune_loc`: only that stage's model; `imported`; `unknown`."""
    seed: int | None = None
    label_ratio: float | None = None

    @property
    def piece(self) -> Path:
        """The folder of the seed and label ratio within a stage's folder."""
        assert self.seed is not None and self.label_ratio is not None
        return Path(f"seed_{self.seed}") / ratio_key(self.label_ratio)


def origin_of(folder: Path, *, seed: int | None, label_ratio: float | None) -> Origin:
    """Return what `cspops.load` would load from ``folder``; see there for the errors."""
    run = run_of(folder)
    if run is not None:
        return _origin_of_piece(run.resolve(), "run", chosen_piece(run / "finetune_loc", seed, label_ratio))
    here = folder.resolve()
    if here.parent.name == "pretrain" and here.name.startswith("seed_"):
        return Origin(here.parents[1], "pretrain", seed=int(here.name.removeprefix("seed_")))
    if here.parent.parent.name == "finetune_loc":
        return _origin_of_piece(here.parents[2], "finetune_loc", Path(*here.parts[-2:]))
    imported = (here / SOURCE).is_file() or (here.parent / SOURCE).is_file()
    return Origin(None, "imported" if imported else "unknown")


def _origin_of_piece(run: Path, stage: str, piece: Path) -> Origin:
    return Origin(run, stage, int(piece.parent.name.removeprefix("seed_")), ratio_of(piece.name))


def params_of(run: Path) -> Document:
    """Return the params that the run's outputs were made with, by path, as each stage.json records them."""
    params: Document = {}
    for stage in STAGES:
        file = run / stage / "stage.json"
        if file.is_file():
            params |= json_as(file, StageRecord, remake=_remake(file)).params
    return {path: _without_folders(value) for path, value in params.items() if path not in LEFT_OUT}


def _without_folders(value: Any) -> Any:
    """Shorten `file:PATH` to `file:NAME`: the folders of a file are private."""
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    return f"file:{Path(value).name}" if isinstance(value, str) and value.startswith("file:") else value


def data_of(origin: Origin, params: Document) -> Document:
    """Return the data that the model was trained on: publisher and licence, counts, where on Earth."""
    source = params.get("dataset.source")
    facts: Document = {"source": source, **_publication(source)}
    if origin.run is None or not (origin.run / "download" / "observations.parquet").is_file():
        return facts
    observations = read_observations(origin.run / "download")
    facts |= {"observations": len(observations.obs_id), "classes": len(observations.classes)}
    if (origin.run / "split" / "roles.parquet").is_file():
        facts |= _training_facts(origin, observations)
    return facts


def _training_facts(origin: Origin, observations: Observations) -> Document:
    assert origin.run is not None
    train = read_roles(origin.run / "split", observations.obs_id)["train"]
    located = observations.lonlat[train & observations.located]
    facts: Document = {"training_rows": int(train.sum()), "located_training_rows": len(located)}
    if len(located):
        facts["box"] = [round(float(edge), 2) for edge in (*located.amin(0), *located.amax(0))]
    if origin.label_ratio is not None and origin.seed is not None:
        few = read_few_shot(origin.run / "split", observations.obs_id, seed=origin.seed, ratio=origin.label_ratio)
        facts["labelled_rows"] = int(few.sum())
    return facts


def _publication(source: str | None) -> Document:
    if source == "blue_marble":
        return SAMPLE
    if source is not None and (MANIFESTS / f"{source}.json").is_file():
        about = read_manifest(source)
        licence = f"{about.licence.name}. {about.licence.terms}"
        return {
            "title": about.title,
            "licence": licence,
            "citation": about.citation,
            "non_commercial": about.licence.non_commercial,
        }
    return {"title": None, "licence": None, "citation": None, "non_commercial": False}


def imported_from(folder: Path) -> Document:
    """Return the file that a folder of import-checkpoint (or encoder/ in it) was made of."""
    file = next((one / SOURCE for one in (folder, folder.resolve().parent) if (one / SOURCE).is_file()), None)
    about = {} if file is None else json_as(file, Document, remake=_remake(file))
    return {key: about[key] for key in ("file", "sha256", "epoch", "kind") if key in about}


def lacking(origin: Origin, model: Model) -> list[str]:
    """Return one sentence per part of a whole run that this model lacks."""
    sentences = []
    if model.classifier is None:
        sentences.append("Location classifier and class names: this is only a location encoder.")
    elif model.classes is None:
        sentences.append("Names of the classes: they are not beside the model; probabilities are in the order of training.")
    if model.image is None:
        sentences.append(f"Image network and image classifier: {_why_no_image(origin)}.")
    elif model.image.head is None:
        sentences.append("Image classifier: P(y|I) are predictions that came with the data.")
    if model.pool is None and model.image is not None:
        sentences.append("Pool of image, location and labelled neighbours: stage evaluate was not run.")
    if origin.stage == "run":
        if origin.run is not None and (origin.run / "finetune_loc" / origin.piece / FUSION).is_dir():
            sentences.append("Fusion of image and place (finetune_loc.fusion): only stage evaluate uses it.")
        sentences.append(
            f"The location encoder before fine-tuning: `cspops export --model artifacts/pretrain/seed_{origin.seed}` writes it."
        )
    return sentences


def _why_no_image(origin: Origin) -> str:
    if origin.run is None or origin.stage != "run":
        return "this is a model of locations only"
    if (origin.run / "finetune_img" / origin.piece / RELEASED).is_file():
        return "P(y|I) are predictions that came with the data"
    config = origin.run / "pretrain_img" / "config.json"
    if config.is_file() and json_as(config, Document, remake=_remake(config)).get("model") == GIVEN:
        return "the data came with image features, or they are those of overhead images at the rows' places"
    return "stage pretrain-img or finetune-img was not run"


def revision_of(folder: Path) -> Document | None:
    """Return the commit checked out around ``folder``, and whether sources or params differ from it; None without git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "params.yaml", "dvc.yaml", "data.dvc")
    return {"commit": commit, "changed": bool(changed)}


def _remake(file: Path) -> str:
    return "dvc repro -f " + file.parent.name.replace("_", "-")


KEPT = ("top1", "nll", "ece")
ROWS = 1000
"""Rows that are predicted again."""
LEAST_AGREEMENT = 0.99
"""Another batch size, or another machine, may change the best class where two are equally likely."""


def metrics_of(origin: Origin, model: Model) -> tuple[Document, str | None]:
    """Return `seeds` and `scores` (by set, model, metric: mean and sd over seeds, top-1 of this seed), or why there are none.

    The numbers are used when stage evaluate's predictions of this seed and label ratio are those of the model, and the mean
    over seeds of their top-1 is the one in scores.json. Those of the pool are left out where the model lacks its places.
    """
    if origin.run is None or origin.label_ratio is None or origin.seed is None:
        return {}, "Metrics: the model was not evaluated."
    predictions, file = origin.run / "evaluate" / "predictions.parquet", origin.run.parent / "reports" / "scores.json"
    if not predictions.exists() or not file.exists():
        return {}, "Metrics: stage evaluate was not run."
    key, observations = ratio_key(origin.label_ratio), read_observations(origin.run / "download")
    rows = _predictions_of_ratio(predictions, key, observations)
    own = rows.filter(pc.equal(rows["seed"], origin.seed))
    summary = read_metrics(file)
    if not len(own) or not _were_made_by(own, observations, model) or not _agrees_with(rows, summary, key):
        return {}, "Metrics: those in reports are of another run (dvc repro evaluate)."
    models = [name for name in MODELS if model.image is not None or name == "location"]
    if model.places is None and "pool" in models:
        models.remove("pool")
    scores = {
        role: {
            name: {metric: ratios[key][name][metric] for metric in KEPT}
            | {"this_seed": round(_top1(own.filter(pc.equal(own["role"], role)), name), 4)}
            for name in models
            if name in ratios[key]
        }
        for role, ratios in summary.items()
        if key in ratios
    }
    return {"seeds": sorted(rows["seed"].unique().to_pylist()), "scores": scores}, None


def _predictions_of_ratio(file: Path, key: str, observations: Observations) -> pa.Table:
    """Return the rows of a label ratio: seed, role, obs_id, label, best class per model (-1 where all are equally likely)."""
    columns = ["seed", "label_ratio", "role", "obs_id", "label", *MODELS]
    table = predictions_table(file, columns, name=str(file), remake="dvc repro -f evaluate")
    ratios = [ratio for ratio in table["label_ratio"].unique().to_pylist() if ratio_key(ratio) == key]
    table = table.filter(pc.is_in(table["label_ratio"], pa.array(ratios, pa.float64())))
    for name in MODELS:
        best = pc.list_element(table[name], 0)
        if name == "location":
            located = pa.array(observations.obs_id).filter(pa.array(observations.located.numpy()))
            best = pc.if_else(pc.is_in(table["obs_id"], located), best, -1)
        table = table.set_column(table.schema.get_field_index(name), name, best)
    return table


def _were_made_by(own: pa.Table, observations: Observations, model: Model) -> bool:
    """Return whether the model predicts for the first located rows what the table holds."""
    place = pc.index_in(own["obs_id"], pa.array(observations.obs_id)).to_pylist()
    if None in place:
        return False
    rows = torch.tensor(place, dtype=torch.int64)
    lonlat, when = observations.lonlat[rows], observations.when[rows]
    some = (~lonlat.isnan().any(1)).nonzero()[:ROWS, 0]
    if not len(some):
        return True
    predicted = model.location_log_p(lonlat[some], when[some]).argmax(1).numpy()
    return bool((predicted == own["location"].to_numpy()[some.numpy()]).mean() >= LEAST_AGREEMENT)


def _agrees_with(rows: pa.Table, summary: Document, key: str) -> bool:
    """Return whether top-1 of the product, averaged over the table's seeds, is that of scores.json on every set."""
    for role, ratios in summary.items():
        of_role = rows.filter(pc.equal(rows["role"], role))
        of_seeds = [of_role.filter(pc.equal(of_role["seed"], seed)) for seed in of_role["seed"].unique().to_pylist()]
        if "combined" not in ratios.get(key, {}):
            continue
        if not of_seeds:
            return False
        mean = float(np.mean([_top1(one, "combined") for one in of_seeds]))
        if abs(mean - ratios[key]["combined"]["top1"]["mean"]) > 0.01:
            return False
    return True


def _top1(rows: pa.Table, name: str) -> float:
    """Return top-1 accuracy in per cent."""
    return 100 * float((rows[name].to_numpy() == rows["label"].to_numpy()).mean()) if len(rows) else 0.0
