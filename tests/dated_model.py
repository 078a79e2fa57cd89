"""An exported model of a migrating class, trained in seconds on data whose answer is known."""

import json
import math
from pathlib import Path

import numpy as np
import torch

from cspops.evaluation.pool import Places, Pool
from cspops.library.exported import ABOUT, write_parts
from cspops.library.image_model import ImageModel
from cspops.library.model import Model
from cspops.models.backbones import build_image_network
from cspops.models.heads import ClassEmbedding, LinearProbe
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.pixels.reading import Reading

CLASSES = ("barn swallow", "owl", "sparrow")
CONFIG = {
    "encoding": {"name": "grid", "scales": 12, "r_min": 5.0, "r_max": 360.0},
    "network": {"name": "ffn", "hidden": 64, "hidden_layers": 2},
    "dim": 16,
    "time": {"name": "cos_sin", "dropped": 0.25},
}
ROWS, STEPS, PLACES = 6000, 400, 600


def truth(lat: np.ndarray, when: np.ndarray) -> np.ndarray:
    """P of the classes: swallows around a latitude that is 47 in mid-July and -17 in mid-January; two that stay."""
    centre = 15 - 32 * np.cos(2 * math.pi * (when - 0.04))
    p = np.stack([0.9 * np.exp(-(((lat - centre) / 12) ** 2)), np.full(len(lat), 0.2), 0.1 + 0.2 * (lat < 30)], 1)
    return p / p.sum(1, keepdims=True)


def trained() -> tuple[LocationClassifier, Places]:
    """The classifier, and some of its training rows."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    lonlat = np.stack((rng.uniform(-15, 45, ROWS), rng.uniform(-35, 68, ROWS)), 1)
    when = rng.uniform(0, 1, ROWS)
    label = torch.from_numpy((truth(lonlat[:, 1], when).cumsum(1) < rng.uniform(0, 1, (ROWS, 1))).sum(1))
    places, dates = torch.from_numpy(lonlat), torch.from_numpy(when)
    classifier = LocationClassifier(LocationEncoder(CONFIG), ClassEmbedding(16, 3), link="softmax").train()
    optimizer = torch.optim.Adam(classifier.parameters(), 4e-3)
    prepared = classifier.encoder.prepare(places, dates)
    for _ in range(STEPS):
        some = torch.randint(ROWS, (256,))
        scores = classifier.class_embedding(classifier.encoder.embed(prepared[some]))
        loss = torch.nn.functional.cross_entropy(scores, label[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return classifier.eval(), Places(places[:PLACES], label[:PLACES], dates[:PLACES])


def write_dated_export(folder: Path) -> Model:
    """The model with a pool of neighbours in time, beside an image network that learned nothing."""
    classifier, places = trained()
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0)
    image = ImageModel(network.eval(), LinearProbe(network.dim, 3).eval(), Reading(), torch.device("cpu"))
    pool = Pool(image=(0.2, 0.2), kernel_km=300.0, count_weight=0.3, kernel_days=30.0)
    model = Model(classifier.encoder, classifier, image, CLASSES, pool, places, seed=0, label_ratio=1.0)
    folder.mkdir(parents=True)
    write_parts(folder, model)
    (folder / ABOUT).write_text(json.dumps({"seed": 0, "label_ratio": 1.0}))
    return model
