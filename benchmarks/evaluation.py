"""Measure memory and seconds of stage evaluate with iNat2018's 8,142 classes, against a way that holds whole tables.

    python -m benchmarks.evaluation [--threads 1] [--rows 24426] [--beside 1500]

run from the project's root. One seed and one label ratio; as many validation rows as test rows; synthetic positions,
features (float16) and models of the paper's shapes. Each measurement is a process of its own, which reads what the
stage reads from a temporary folder; its peak is shown beside that of the imports alone.

`whole` makes what the stage makes from tables of all rows and classes in float64, each model's and each prior's setting
held, at a number of rows that fits. `product` is that of features and classes alone, which no way can do without.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.feature_files import write_features
from cspops.data.catalogue import read_observations
from cspops.data.features import read_features
from cspops.data.schemas import SCHEMA
from cspops.data.splits import piece, read_few_shot, read_roles
from cspops.evaluation import metrics, pool_fit, predictor, priors
from cspops.evaluation.pool import NEIGHBOURS, Places
from cspops.evaluation.pool_fit import Choosers, Grid
from cspops.geo import uniform_on_sphere
from cspops.host import Host
from cspops.models.checkpoint import save_model
from cspops.models.heads import ClassEmbedding, LinearProbe
from cspops.models.loading import load_image_classifier, load_location_classifier
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params.graph import EvaluateView
from cspops.params.sections import PoolGrid, Priors
from cspops.pipeline import evaluate
from cspops.seeds import global_torch_stream, numpy_stream, torch_stream
from cspops.shapes import Tensor
from cspops.site import Site

STAGES = ("download", "split", "featurize", "finetune-loc", "finetune-img")
RATIO = 0.05
VIEW = EvaluateView(
    (0,),
    (RATIO,),
    Priors(
        pseudo_count=1.0,
        histogram=(2.0, 5.0, 10.0, 20.0),
        knn=(1, 5, 10, 20, 50),
        distance_knn=(5, 10, 20, 50),
        kde=(50.0, 100.0, 200.0, 400.0, 800.0),
    ),
    PoolGrid(kernel_km=(5.0, 12.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0), count_weight=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
)


@dataclass(frozen=True)
class Shapes:
    """Sizes of the artefacts."""

    rows: int = 24426
    """Validation rows, and as many test rows."""
    classes: int = 8142
    labelled: int = 21871
    """5 % of iNat2018's training rows."""
    features: int = 2048
    dim: int = 256
    scales: int = 32
    hidden: int = 512


def write(folder: Path, shapes: Shapes) -> dict[str, Path]:
    """Write the artefacts that the stage reads: the labelled rows first, then validation and test."""
    inputs = {name: folder / name for name in STAGES}
    for path in inputs.values():
        path.mkdir(parents=True)
    n, m = shapes.labelled + 2 * shapes.rows, shapes.labelled
    obs_id = [f"o{i}" for i in range(n)]
    lonlat = uniform_on_sphere(n, generator=torch_stream(0, "places")).numpy()
    draws = numpy_stream(0, "labels")
    columns = {"obs_id": pa.array(obs_id), "lon": pa.array(lonlat[:, 0]), "lat": pa.array(lonlat[:, 1])}
    columns["label"] = pa.array(draws.integers(shapes.classes, size=n), pa.int32())
    rest = {field.name: pa.nulls(n, field.type) for field in SCHEMA if field.name not in columns}
    table = pa.table({name: (columns | rest)[name] for name in SCHEMA.names}).cast(SCHEMA)
    pq.write_table(table, inputs["download"] / "observations.parquet")
    (inputs["download"] / "classes.json").write_text(json.dumps([f"c{i}" for i in range(shapes.classes)]))
    roles = ["train"] * m + ["val"] * shapes.rows + ["test"] * shapes.rows
    pq.write_table(pa.table({"obs_id": obs_id, "role": roles}), inputs["split"] / "roles.parquet")
    level = np.where(np.arange(n) < m, RATIO, np.nan)
    few = pa.table({"obs_id": obs_id, "seed_0": pa.array(level, pa.float32(), from_pandas=True)})
    pq.write_table(few, inputs["split"] / "few_shot.parquet")
    choosing = pa.table(
        {"obs_id": obs_id, "seed_0": pa.array([RATIO if role == "val" else None for role in roles], pa.float32())}
    )
    pq.write_table(choosing, inputs["split"] / "choosing.parquet")
    write_features(
        inputs["featurize"],
        obs_id,
        shapes.features,
        lambda rows: draws.standard_normal((rows, shapes.features), dtype=np.float32),
    )
    encoder_config = {
        "encoding": {"name": "grid", "scales": shapes.scales, "r_min": 0.01, "r_max": 360.0},
        "network": {"name": "ffn", "hidden_layers": 1, "hidden": shapes.hidden, "dropout": 0.5},
        "dim": shapes.dim,
    }
    with global_torch_stream(0, "models"):
        probe, encoder = LinearProbe(shapes.features, shapes.classes), LocationEncoder(encoder_config)
        classifier = LocationClassifier(encoder, ClassEmbedding(encoder.dim, shapes.classes))
    save_model(inputs["finetune-img"] / piece(0, RATIO), probe, probe.config)
    save_model(inputs["finetune-loc"] / piece(0, RATIO), classifier, classifier.config)
    return inputs


def in_blocks(inputs: dict[str, Path], out: Path) -> None:
    """Run the stage."""
    out.mkdir()
    evaluate.run(VIEW, Site(out, inputs, out, out, out, Host()))


@torch.inference_mode()
def whole(inputs: dict[str, Path], out: Path) -> dict[str, dict[str, float]]:
    """Return the metrics of every model on the test rows, from tables of all rows; nothing is written."""
    device = Host().torch_device()
    observations = read_observations(inputs["download"])
    roles = read_roles(inputs["split"], observations.obs_id)
    kept, classes = roles["val"] | roles["test"], len(observations.classes)
    few = read_few_shot(inputs["split"], observations.obs_id, seed=0, ratio=RATIO)
    label, lonlat, val, test = observations.label[kept], observations.lonlat[kept], roles["val"][kept], roles["test"][kept]
    located = torch.ones_like(val)
    matrix = read_features(inputs["featurize"], observations.obs_id)
    features = torch.from_numpy(matrix[kept.numpy()]).float()
    image_classifier = load_image_classifier(inputs["finetune-img"] / piece(0, RATIO)).to(device)
    image = predictor.image_log_p(image_classifier(features.to(device)).cpu())
    classifier = load_location_classifier(inputs["finetune-loc"] / piece(0, RATIO)).to(device)
    location = predictor.location_log_p(classifier(lonlat.to(device)).cpu(), located)
    places = Places(observations.lonlat[few].double(), observations.label[few])
    near, nobody = places.near(lonlat, k=NEIGHBOURS), torch.empty(0, dtype=torch.long)
    informed = torch.bincount(places.label, minlength=classes)[label] > 0
    choosers = Choosers((val & informed).nonzero()[:, 0], nobody, nobody)
    grid = Grid(VIEW.pool.kernel_km, VIEW.pool.count_weight)
    fitted = pool_fit.fit(lambda rows: (image[rows], location[rows]), label, near.of, choosers, grid, classes=classes)
    tables: dict[str, Tensor] = {
        "image": image,
        "location": location,
        "combined": predictor.combined_log_p(image, location, located),
        "pool": fitted.log_p(image, location, near, located),
    }
    of_labelled = priors.LocationPriors(places, lonlat, classes=classes, pseudo_count=1.0, most_neighbours=50)
    every, chooser, settings = torch.arange(len(label)), val.nonzero()[:, 0], VIEW.priors.model_dump()
    tried: dict[tuple[priors.Prior, float], Tensor] = {}
    for name in priors.PRIORS:
        nll = []
        for setting in settings.get(name, (0.0,)):
            tried[name, setting] = of_labelled.log_p(name, setting, chooser)
            product = predictor.combined_log_p(image[val], tried[name, setting], located[val])
            nll.append(float(-product.gather(1, label[val, None]).mean()))
        tables[name] = of_labelled.log_p(name, settings.get(name, (0.0,))[int(np.argmin(nll))], every)
    return {
        name: metrics.score(metrics.judge(log_p[test], label[test]), label[test], classes=classes)
        for name, log_p in tables.items()
    }


@torch.inference_mode()
def product(inputs: dict[str, Path], out: Path) -> None:
    """Multiply the features of all rows with the class vectors of the image classifier, as the stage does, and nothing else."""
    observations = read_observations(inputs["download"])
    roles = read_roles(inputs["split"], observations.obs_id)
    matrix = read_features(inputs["featurize"], observations.obs_id)
    classifier = load_image_classifier(inputs["finetune-img"] / piece(0, RATIO))
    for rows in (roles["val"] | roles["test"]).nonzero()[:, 0].split(evaluate.AT_ONCE // len(observations.classes)):
        classifier(torch.from_numpy(matrix[rows.numpy()]).float())


WAYS = {"in blocks": in_blocks, "whole": whole, "product": product}


def measure(way: str, inputs: dict[str, Path], out: Path, threads: int) -> dict[str, float]:
    """Return wall and CPU seconds of one way, and the peak of this process in MB, before and after it."""
    torch.set_num_threads(threads)
    before, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    WAYS[way](inputs, out)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "before_mb": before, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the most memory that this process ever held, pages of mapped files included."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would be that of the process that started this one, where that was larger
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1e-3  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1e-6 if sys.platform == "darwin" else 1e-3)


def in_a_process(way: str, shapes: Shapes, threads: int) -> dict[str, float]:
    """Run `measure` in a process of its own, so that the peak is that of this way alone."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = {name: str(path) for name, path in write(Path(folder) / "artifacts", shapes).items()}
        code = (
            "import json, pathlib; from benchmarks import evaluation as e; "
            f"inputs = {{name: pathlib.Path(path) for name, path in {inputs!r}.items()}}; "
            f"print(json.dumps(e.measure({way!r}, inputs, pathlib.Path({folder!r}) / 'out', {threads})))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    measurement: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measurement


def main(shapes: Shapes | None = None, argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--rows", type=int, default=Shapes.rows, help="validation rows, and as many test rows")
    parser.add_argument("--beside", type=int, default=1500, help="rows of the comparison with whole tables; 0 for none")
    arguments = parser.parse_args(argv)
    shapes = shapes or Shapes()

    about = f"{shapes.classes:,} classes, {shapes.labelled:,} labelled rows"
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {about}")
    print(f"{'validation and test rows':>26}{'way':>12}{'wall s':>9}{'CPU s':>9}{'peak MB':>10}{'imports':>10}")
    measurements = {}
    beside, full = arguments.beside, arguments.rows
    for rows, way in ((beside, "whole"), (beside, "in blocks"), (full, "product"), (full, "in blocks")):
        if rows:
            measurements[rows, way] = one = in_a_process(way, replace(shapes, rows=rows), arguments.threads)
            numbers = f"{one['wall']:9.1f}{one['cpu']:9.1f}{one['peak_mb']:10,.0f}{one['before_mb']:10,.0f}"
            print(f"{f'2 x {rows:,}':>26}{way:>12}{numbers}", flush=True)
    alone, stage = (measurements[full, way]["cpu"] for way in ("product", "in blocks"))
    print(
        f"at 2 x {full:,} rows the stage takes {stage / alone:.2f} times the CPU time of the product, "
        f"{stage - alone:.1f} s more"
    )
    if beside:
        blocks, tables = (measurements[beside, way] for way in ("in blocks", "whole"))
        times, less = tables["cpu"] / blocks["cpu"], tables["peak_mb"] / blocks["peak_mb"]
        print(f"at 2 x {beside:,} rows whole tables take {times:.2f} times the CPU time and {less:.2f} times the memory")


if __name__ == "__main__":
    main()
