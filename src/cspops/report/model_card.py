"""The README.md of an exported folder: a model card with the front matter that model hubs read."""

import io
import json
from collections.abc import Iterator
from typing import Any

from cspops.data.json_files import Document
from cspops.report.run_facts import leaves
from cspops.report.tables import TITLES, as_code, as_text, cell, joined, markdown


def how_to_load(document: Document) -> Iterator[str]:
    """Yield working lines of code, and inputs and outputs of the ONNX files. Tests run the lines in the exported folder."""
    image = document["image"] if document["image"] is not None and document["image"]["head"] else None
    yield "With cspops, in this folder:"
    last = "model.encode_location([[8.54, 47.37]])  # degrees, longitude first"
    if document["classes"] is not None:
        last = "model.predict_proba(lonlat=[[8.54, 47.37]])  # P(y|x); degrees, longitude first"
    if image is not None:
        last = (
            'model.predict_proba(["photo.jpg"], [[8.54, 47.37]])  # P(y|I) P(y|x); degrees, longitude first; nan: no position'
        )
    yield f'```python\nimport cspops\nmodel = cspops.load(".")\n{last}\n```'
    if not document["onnx"]:
        return
    yield "Without cspops, by the ONNX files:"
    if image is None:
        file = "location_encoder" if document["classes"] is None else "location_classifier"
        yield (
            "```python\nimport numpy, onnxruntime\n"
            f'session = onnxruntime.InferenceSession("onnx/{file}.onnx")\n'
            'answer = session.run(None, {"lonlat": numpy.array([[8.54, 47.37]])})[0]\n```'
        )
    else:
        yield (
            "```python\nimport numpy, onnxruntime, PIL.Image, PIL.ImageOps\n"
            'photo = PIL.ImageOps.exif_transpose(PIL.Image.open("photo.jpg")).convert("RGB")\n'
            f"side = min(photo.size) * {image['crop']:g}; left, top = (photo.width - side) / 2, (photo.height - side) / 2\n"
            f"square = photo.resize(({image['px']}, {image['px']}), PIL.Image.Resampling.{image['interpolation'].upper()}, "
            "box=(left, top, left + side, top + side))\n"
            "pixels = numpy.asarray(square, numpy.float32).transpose(2, 0, 1)[None]\n"
            'session = onnxruntime.InferenceSession("onnx/combined.onnx")\n'
            'p = session.run(["probabilities"], {"image": pixels, "lonlat": numpy.array([[8.54, 47.37]])})[0]\n```'
        )
    yield "\n".join(f"- {one}" for one in _graphs(document))
    yield markdown(
        [
            ["file", "output", "greatest difference from torch"],
            *(
                [f"`onnx/{file}`", f"`{output}`", f"{difference:.1e}"]
                for file, differences in document["onnx"].items()
                for output, difference in differences.items()
            ),
        ],
        text_columns=2,
    )
    yield (
        "Differences are absolute for probabilities and relative to the largest number for embeddings, over random and odd "
        "places, 1 to 1,000 rows."
    )


def _graphs(document: Document) -> Iterator[str]:
    image = document["image"]
    yield (
        "`lonlat`: float64 (n, 2), degrees WGS84, longitude first. Longitudes from 180 to 360 count as -180 to 0; a row of "
        "nan has no position: no embedding (nan), uniform P(y|x), the product is P(y|I). Latitudes beyond 90 are not refused. "
        "float64, because float32 is off by up to a metre, which encodings of fine scales resolve."
    )
    yield f"`location_encoder.onnx`: `embedding` float32 (n, {document['dim']})."
    if document["classes"] is not None:
        yield f"`location_classifier.onnx`: `probabilities` float32 (n, {document['classes']}), P(y|x), rows that sum to 1."
    if image is not None and image["head"]:
        yield (
            f"`combined.onnx`: `image` float32 (n, 3, {image['px']}, {image['px']}), RGB from 0 to 255, channels first, not "
            "normalised (the graph does that). Returns `probabilities` (the product), `image_probabilities` and "
            "`location_probabilities`"
            + (", and `calibrated_probabilities`" if document["calibration"] is not None else "")
            + f", float32 (n, {document['classes']}). cspops itself rounds image features to float16, as in training: its "
            "probabilities may differ from these in the third or fourth decimal."
        )
        deep = "" if image["bands"] is None and image["white"] is None and image["black"] == 0 else _reading(image)
        yield (
            f"Images: upright (EXIF orientation undone), RGB, the centre square of {image['crop']:g} of the shorter side, "
            f"resized to {image['px']} x {image['px']} pixels, {image['interpolation']} as in Pillow.{deep}"
        )
    yield (
        "Classes, in the order of the probabilities: `classes.json`."
        if document["classes"] is not None
        else ("Embeddings have no fixed length.")
    )


def _reading(image: Document) -> str:
    bands = "" if image["bands"] is None else f" Bands {', '.join(map(str, image['bands']))}, counted from 1, are R, G, B."
    white = "the largest value of the file's kind" if image["white"] is None else f"{image['white']:g}"
    return f"{bands} Values of more than 8 bits from {image['black']:g} to {white} become 0 to 255."


CARD = "README.md"


def model_card(document: Document) -> str:
    """Return the card of an export.json."""
    parts = [
        f"---\n{_front_matter(document)}---",
        f"# {_title(document)}",
        _what(document),
        "## How to load",
        *how_to_load(document),
        "## Data",
        *_data(document),
        *_metrics(document),
        "## Limits",
        "\n".join(f"- {one}" for one in _limits(document)),
        *_params(document),
        "## Files",
        *_files(document),
    ]
    return joined(part for part in parts if part)


def _front_matter(document: Document) -> str:
    from ruamel.yaml import YAML

    image, tags = document["image"], ["location-encoder", "geospatial", "contrastive-learning", "csp", "safetensors"]
    matter: Document = {"library_name": "cspops", **_licence_fields(document)}
    matter["pipeline_tag"] = "image-classification" if image is not None and image["head"] else "feature-extraction"
    matter["tags"] = [*tags, "onnx"] if document["onnx"] else tags
    scores = document["metrics"].get("scores")
    if scores:
        data = _data_title(document)
        matter["model-index"] = [
            {"name": _title(document), "results": [_result(role, models, data) for role, models in scores.items()]}
        ]
    yaml, out = YAML(), io.StringIO()
    yaml.width = 10_000
    yaml.dump(matter, out)
    return out.getvalue()


def _licence_fields(document: Document) -> dict[str, str]:
    data, weights = document["data"], (document["image"] or {}).get("weights", "random")
    if data["licence"] is None or weights != "random":
        return {"license": "unknown"}
    if data["non_commercial"]:
        return {"license": "other", "license_name": "non-commercial"}
    return {"license": "apache-2.0"}


def _result(role: str, models: Document, data: str) -> Document:
    metrics = [
        {"type": "accuracy", "name": f"top-1, {name}", "value": round(scores["top1"]["mean"] / 100, 6)}
        for name, scores in models.items()
    ]
    return {
        "task": {"type": "image-classification"},
        "dataset": {"name": data, "type": "geo-tagged-images", "split": role},
        "metrics": metrics,
    }


def _title(document: Document) -> str:
    if document["stage"] == "imported":
        return f"Imported location model {document['imported'].get('file', '')}".strip()
    what = "location encoder" if document["classes"] is None else "image and location classifier"
    if document["image"] is None and document["classes"] is not None:
        what = "location classifier"
    return f"CSP {what}, {_data_title(document)}"


def _data_title(document: Document) -> str:
    data = document["data"]
    return str(data["title"] or (f"own images ({data['source']})" if data["source"] else "unknown data"))


def _what(document: Document) -> str:
    made = f"by cspops {document['cspops']}"
    git = document["git"]
    if git is not None:
        made += f", revision `{git['commit']}`" + (" with changes that are not in it" if git["changed"] else "")
    sentences = [f"A location encoder e(x) maps a place on Earth to {document['dim']} numbers."]
    if document["stage"] == "pretrain":
        sentences.append("It was pre-trained by contrast with images (Contrastive Spatial Pre-Training, CSP) and saw no label.")
    elif document["stage"] == "imported":
        about = document["imported"]
        sentences.append(f"Imported from {as_code(about['file'])} (`{about['kind']}`, SHA-256 `{about['sha256']}`).")
    elif document["classes"] is not None:
        sentences.append(f"With class embeddings it gives P(y|x) of {document['classes']:,} classes.")
    if document["image"] is not None and document["image"]["head"]:
        sentences.append("An image network gives P(y|I); both are combined as P(y|I, x) ~ P(y|I) P(y|x).")
    if document["seed"] is not None:
        labels = "" if document["label_ratio"] is None else f" at {100 * document['label_ratio']:g} % of the labels"
        sentences.append(f"This is the model of seed {document['seed']}{labels}.")
    text = " ".join([*sentences, f"Made {made}."])
    if not document["lacking"]:
        return text
    return "\n\n".join([text, "Not in this folder:", "\n".join(f"- {one}" for one in document["lacking"])])


def _data(document: Document) -> Iterator[str]:
    data = document["data"]
    if document["stage"] == "imported" or data["source"] is None:
        yield "What the model was trained on is not known to cspops; whoever publishes this folder states it, and the licence."
        return
    counts = []
    if "observations" in data:
        counts.append(f"{data['observations']:,} observations of {data['classes']:,} classes")
    if "training_rows" in data:
        counts.append(f"{data['training_rows']:,} of them to train on ({data['located_training_rows']:,} with a position)")
    if "labelled_rows" in data:
        counts.append(f"{data['labelled_rows']:,} of these with their label")
    title = data["title"] or f"The project's own images (`dataset.source: {data['source']}`)"
    yield as_text(str(title)) + (f": {', '.join(counts)}." if counts else ".")
    if "box" in data:
        west, south, east, north = data["box"]
        yield f"Training positions: {west:g} to {east:g} degrees of longitude, {south:g} to {north:g} of latitude."
    if data["licence"] is None:
        yield "**Licence of the data: not stated.** Whoever publishes this folder states it here and in the first lines."
    else:
        yield f"Licence of the data: {data['licence']}"
        yield f"Citation: {data['citation']}"
    image = document["image"]
    if image is not None and image["weights"] != "random":
        yield f"The image network started from published weights (`{image['model']}`), whose licence applies too."


def _metrics(document: Document) -> Iterator[str]:
    metrics = document["metrics"]
    if not metrics:
        return
    seeds = metrics["seeds"]
    yield "## Metrics"
    yield (
        f"Top-1 accuracy, per cent: mean (standard deviation) over seeds {', '.join(map(str, seeds))}, and that of this model, "
        f"seed {document['seed']}. The spatial test set lies in blocks of the map that hold no training row and have none near."
    )
    rows = [["set", "model", "top-1, all seeds", "top-1, this seed", "NLL, nats", "calibration error, %"]]
    for role, models in metrics["scores"].items():
        for name, scores in models.items():
            numbers = [cell(scores["top1"]), f"{scores['this_seed']:.2f}", cell(scores["nll"]), cell(scores["ece"])]
            rows.append([TITLES.get(role, role), name, *numbers])
    yield markdown(rows, text_columns=2)


def _limits(document: Document) -> Iterator[str]:
    data, scores = document["data"], document["metrics"].get("scores", {})
    if "box" in data:
        yield "Places outside the data's region, or far from every training row, get a prediction all the same."
    if document["classes"] is not None:
        yield "One of the classes is always predicted, even for an image or a place that shows none of them."
    test, spatial = scores.get("test", {}), scores.get("spatial_test", {})
    best = "combined" if "combined" in test else "location"
    if best in test and best in spatial:
        yield (
            f"On blocks of the map that hold no training row top-1 of `{best}` is {cell(spatial[best]['top1'])}, on the test "
            f"set {cell(test[best]['top1'])}."
        )
    ece = {name: one["ece"]["mean"] for name, one in test.items()}
    if best in ece:
        product = " The plain product counts twice what image and place share, and tends to be overconfident."
        calibrated = f", of the calibrated product {ece['calibrated']:.1f} %" if "calibrated" in ece else ""
        yield (
            f"Expected calibration error on the test set: of `{best}` {ece[best]:.1f} %{calibrated}."
            + (product if best == "combined" else "")
        )
    elif document["classes"] is not None:
        yield "Whether its probabilities are calibrated was not measured: treat them as scores."
    if document["calibration"] is not None:
        t, w = document["calibration"]["temperature"], document["calibration"]["location_weight"]
        yield f"The calibrated product is P(y|I)^(1/T) P(y|x)^w, normalised, with T = {t:g} and w = {w:g} chosen on validation."
    if document["classes"] is not None:
        yield "P(y|x) describes where images of a class were taken, not where the class is: it has the bias of observers."
    if data.get("non_commercial"):
        yield "The data are for non-commercial use."


def _params(document: Document) -> Iterator[str]:
    rows = [["key", "value"], *([f"`{key}`", _value(value)] for key, value in leaves(document["params"]).items())]
    if len(rows) == 1:
        rows += [[f"`{key}`", _value(value)] for key, value in leaves(document["encoder"]).items()]
    yield "## Params"
    yield markdown(rows, text_columns=2)


def _value(value: Any) -> str:
    return as_code(json.dumps(value)).replace("|", "\\|")


def _files(document: Document) -> Iterator[str]:
    yield "`export.json` holds all of this for programs."
    rows = [[f"`{name}`", f"{one['bytes']:,}", f"`{one['sha256']}`"] for name, one in document["files"].items()]
    yield markdown([["file", "bytes", "SHA-256"], *rows], text_columns=1)
