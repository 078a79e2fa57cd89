"""The models of a finished run leave the project: by the real command line, into a folder that works alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from small_project import environment, run

LOOK = """
import json, sys, numpy, cspops
model = cspops.load(sys.argv[1], **json.loads(sys.argv[2]))
places = numpy.load("places.npy")
numpy.savez(sys.argv[3], e=model.encode_location(places), p=model.predict_proba(["photo.png"] * len(places), places),
            c=model.predict_proba(["photo.png"] * len(places), places, calibrated=True))
"""


def answers(folder: Path, model: Path, **choice: float) -> dict[str, np.ndarray]:
    """Of a model, by a Python of its own that stands in ``folder``."""
    arguments = [sys.executable, "-c", LOOK, str(model), json.dumps(choice), "answers.npz"]
    subprocess.run(arguments, cwd=folder, env=environment(), check=True, capture_output=True)
    with np.load(folder / "answers.npz") as found:
        return dict(found)


def test_an_export_answers_as_the_project_does(project: Path, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    places = np.stack((draws.uniform(-180, 180, 7), draws.uniform(-90, 90, 7)), 1)
    places[3] = np.nan
    np.save(tmp_path / "places.npy", places)
    out = tmp_path / "out"
    done = run(project, "cspops", "export", "--out", str(out), "--seed", "1", "--label-ratio", "0.1")
    assert done.stderr.splitlines() == [
        "export: onnx/location_encoder.onnx",
        "export: onnx/location_classifier.onnx",
        "export: onnx/combined.onnx",
        "not in it: The location encoder before fine-tuning: cspops export --model artifacts/pretrain/seed_1 writes it.",
    ]
    of_project = answers(tmp_path, project, seed=1, label_ratio=0.1)
    of_export = answers(tmp_path, out)
    for name, expected in of_project.items():
        assert np.array_equal(of_export[name], expected, equal_nan=True), name
    about = json.loads((out / "export.json").read_text())
    metrics = json.loads((project / "reports/metrics.json").read_text())
    for role, models in about["metrics"]["scores"].items():
        for name, scores in models.items():
            assert scores["top1"] == metrics[role]["label_10"][name]["top1"]
    assert list(about["metrics"]["scores"]["test"]) == ["image", "location", "combined", "calibrated"]
    assert about["git"]["changed"] is False
    assert about["git"]["commit"] == run(project, "git", "rev-parse", "HEAD").stdout.strip()
    assert about["data"]["source"] == "blue_marble"
    assert about["params"]["losses.mc"]["terms"] == "BLD"
    code = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)[1]
    lines = code.replace("photo.jpg", "../photo.png") + "\nprint(*p[0].tolist())"
    shown = subprocess.run([sys.executable, "-c", lines], cwd=out, check=True, capture_output=True, text=True).stdout
    assert len(shown.split()) == about["classes"]
    assert run(project, "git", "status", "--short").stdout == ""
