"""The part of a model card that says how the exported folder is loaded, with cspops and without."""

from collections.abc import Iterator, Mapping
from typing import Any

from cspops.report.tables import markdown

Document = Mapping[str, Any]


def how_to_load(document: Document) -> Iterator[str]:
    """Working lines, and what the ONNX files take and give. Tests run the lines in the exported folder."""
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
                for file, of_file in document["onnx"].items()
                for output, difference in of_file.items()
            ),
        ],
        text_columns=2,
    )
    yield "Of probabilities absolute, of embeddings as a share of the largest; over random and odd places, 1 to 1,000 rows."


def _graphs(document: Document) -> Iterator[str]:
    image = document["image"]
    yield (
        "`lonlat`: float64 (n, 2), degrees WGS84, longitude first. Longitudes from 180 to 360 are taken as -180 to 0; a row of "
        "nan has no position: no embedding (nan), uniform P(y|x), the image alone. Nothing refuses a latitude beyond 90. "
        "float64, because float32 is off by up to a metre, which encodings of fine scales tell apart."
    )
    yield f"`location_encoder.onnx`: `embedding` float32 (n, {document['dim']})."
    if document["classes"] is not None:
        yield f"`location_classifier.onnx`: `probabilities` float32 (n, {document['classes']}), P(y|x), rows that sum to 1."
    if image is not None and image["head"]:
        yield (
            f"`combined.onnx`: `image` float32 (n, 3, {image['px']}, {image['px']}), RGB from 0 to 255, channels first, not "
            "normalised (the graph does that). Answers `probabilities` (the product), `image_probabilities` and "
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
        else ("The embedding is of no fixed length.")
    )


def _reading(image: Document) -> str:
    bands = "" if image["bands"] is None else f" Bands {', '.join(map(str, image['bands']))}, counted from 1, are R, G, B."
    white = "the largest value of the file's kind" if image["white"] is None else f"{image['white']:g}"
    return f"{bands} Values of more than 8 bits from {image['black']:g} to {white} become 0 to 255."
