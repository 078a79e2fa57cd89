"""Models in a folder that `cspops export` wrote, each part in a folder of its own, without the project around it.

location_encoder/, location_classifier/, image_network/ and image_head/ hold config.json and model.safetensors;
classes.json, pool.json, places.parquet and reading.json hold what else a prediction needs. export.json lists the contents; a
folder without it is no export.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cspops.artefacts import json_as
from cspops.library.model import Model
from cspops.models.checkpoint import save_model
from cspops.models.loading import (
    load_image_network,
    load_location_classifier,
    load_location_encoder,
)

if TYPE_CHECKING:
    from cspops.library.image_model import ImageModel
    from cspops.pixels.reading import Reading

ABOUT = "export.json"
ENCODER, CLASSIFIER, NETWORK, HEAD = "location_encoder", "location_classifier", "image_network", "image_head"
READING = "reading.json"
AGAIN = "copy the whole folder again, or cspops export --out FOLDER --force"


def is_export(folder: Path) -> bool:
    """Return whether `cspops export` wrote the folder."""
    return (folder / ABOUT).is_file()


def write_parts(folder: Path, model: Model) -> None:
    """Write the parts that the model has into an empty folder; the caller writes export.json."""
    from cspops.data.catalogue import CLASSES
    from cspops.evaluation.pool import write_pool

    save_model(folder / ENCODER, model.encoder, model.encoder.config)
    if model.classifier is not None:
        save_model(folder / CLASSIFIER, model.classifier, model.classifier.config)
    if model.classes is not None:
        _write(folder / CLASSES, list(model.classes))
    if model.image is not None:
        save_model(folder / NETWORK, model.image.network, model.image.network.config)
        if model.image.head is not None:
            config: Any = model.image.head.config
            save_model(folder / HEAD, model.image.head, config)
        _write(folder / READING, reading_facts(model.image.reading))
    if model.pool is not None:
        write_pool(folder, model.pool, model.labelled_places)


def reading_facts(reading: "Reading") -> dict[str, Any]:
    """Return, for JSON, how images of more than 8 bits or three bands become RGB."""
    return {"bands": reading.bands and list(reading.bands), "black": reading.black, "white": reading.white}


def read_parts(folder: Path, device: torch.device, *, images: bool = True) -> Model:
    """Return the model that `write_parts` wrote, with its image network or without; it computes the same numbers.

    Raise a DataError where something is missing from the folder.
    """
    about = json_as(folder / ABOUT, dict[str, Any], remake=AGAIN)
    seed, ratio = about.get("seed"), about.get("label_ratio")
    if not (folder / CLASSIFIER).is_dir():
        encoder = load_location_encoder(folder / ENCODER, remake=AGAIN).to(device)
        return Model(encoder, device=device, folders=(folder,), seed=seed)
    from cspops.data.catalogue import CLASSES, read_classes
    from cspops.evaluation.pool import read_pool

    classifier = load_location_classifier(folder / CLASSIFIER, remake=AGAIN).to(device)
    count = classifier.class_embedding.linear.out_features
    image = _image(folder, count, device) if images and (folder / NETWORK).is_dir() else None
    classes = read_classes(folder / CLASSES, count, remake=AGAIN) if (folder / CLASSES).exists() else None
    pool, places = read_pool(folder, classes=count, remake=AGAIN) or (None, None)
    return Model(classifier.encoder, classifier, image, classes, pool, places, device, (folder,), seed, ratio)


def _image(folder: Path, classes: int, device: torch.device) -> "ImageModel":
    from cspops.library.image_model import ImageModel, load_head
    from cspops.pixels.reading import ReadingFacts

    network = load_image_network(folder / NETWORK, remake=AGAIN)
    head = load_head(folder / HEAD, network, classes, remake=AGAIN).to(device) if (folder / HEAD).is_dir() else None
    reading = json_as(folder / READING, ReadingFacts, remake=AGAIN).reading()
    return ImageModel(network.to(device).eval(), head, reading, device)


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
