"""The README.md of an exported folder: a model card with the front matter that model hubs read."""

import json
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cspops.data.json_files import Document
from cspops.library.onnx.graphs import POOL_OUTPUT
from cspops.report.run_facts import leaves
from cspops.report.tables import TITLES, as_code, as_text, cell, markdown, short_name
from cspops.terminal import visible

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD = "README.md"
TAGS = ("location-encoder", "geospatial", "contrastive-learning", "csp", "safetensors")


def model_card(document: Document) -> str:
    """Return the card of an export.json. Tests run the lines of code that it shows, in the exported folder."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {
        "text": as_text,
        "code": as_code,
        "count": lambda number: f"{number:,}",
        "mean": partial(cell, spread=_several_seeds(document)),
        "table": lambda rows, text_columns: markdown(rows, text_columns=text_columns),
    }
    scores = document["metrics"].get("scores", {})
    test = scores.get("test", {})
    template = files("cspops").joinpath("report", "card", "model_card.md.jinja").read_text(encoding="utf-8")
    card = environment.from_string(template).render(
        document,
        when=', "when": numpy.array([0.45])' if "time" in document["encoder"] else "",
        front_matter=_front_matter(document),
        title=_title(document),
        sees_images=_sees_images(document),
        test=test,
        spatial=scores.get("spatial_test", {}),
        best=next((name for name in ("pool", "combined") if name in test), "location"),
        chosen=None if document["pool"] is None else _chosen(document["pool"]),
        pool_in_onnx=POOL_OUTPUT in document["onnx"].get("combined.onnx", {}),
        onnx_rows=[["file", "output", "ONNX", "torch, float32"], *_deviations(document)],
        metric_rows=[
            ["set", "model", "top-1, all seeds", "top-1, this seed", "NLL, nats", "calibration error, %"],
            *_scores(scores, spread=_several_seeds(document)),
        ],
        param_rows=[["key", "value"], *_params(document)],
        file_rows=[["file", "bytes", "SHA-256"], *_files(document)],
    )
    return visible(card, keep="\n")


def _chosen(pool: Document) -> str:
    """Return which numbers of a pool validation chose; without rows to choose by they are those of `pool.Pool`."""
    from cspops.evaluation.pool_fit import FADE

    if tuple(pool["image"]) == tuple(pool["place"]) == (1, 1) and not pool["count_weight"]:
        return "These are defaults, the plain product: no validation row with a position could choose them."
    others = []
    if pool["fade_km"] is not None:
        others.append(f"the {pool['fade_km']:g} km, {FADE:g} times the median distance of a validation row from a label")
    if pool["image_alone"] == 1:
        others.append("a without a position, a default: no validation row without a position could choose it")
    return f"Validation chose all of these but {'; and '.join(others)}." if others else "Validation chose all of these."


def _sees_images(document: Document) -> bool:
    return document["image"] is not None and bool(document["image"]["head"])


def _front_matter(document: Document) -> str:
    """Return the card's data as YAML."""
    from huggingface_hub import ModelCardData

    results = list(_results(document))
    return ModelCardData(
        library_name="cspops",
        **_licence(document),
        pipeline_tag="image-classification" if _sees_images(document) else "feature-extraction",
        tags=[*TAGS, "onnx"] if document["onnx"] else [*TAGS],
        model_name=_title(document) if results else None,
        eval_results=results or None,
    ).to_yaml(line_break="\n")


def _licence(document: Document) -> dict[str, Any]:
    data, weights = document["data"], (document["image"] or {}).get("weights", "random")
    if data["licence"] is None or weights != "random":
        return {"license": "unknown"}
    if data["non_commercial"]:
        return {"license": "other", "license_name": "non-commercial"}
    return {"license": "apache-2.0"}


def _results(document: Document) -> Iterator["EvalResult"]:
    from huggingface_hub import EvalResult

    for role, models in document["metrics"].get("scores", {}).items():
        for name, scores in models.items():
            yield EvalResult(
                task_type="image-classification",
                dataset_type="geo-tagged-images",
                dataset_name=_data_title(document),
                dataset_split=role,
                metric_type="accuracy",
                metric_name=f"top-1, {name}",
                metric_value=round(scores["top1"]["mean"] / 100, 6),
            )


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


def _deviations(document: Document) -> Iterator[list[str]]:
    for file, outputs in document["onnx"].items():
        for output, off in outputs.items():
            yield [f"`onnx/{file}`", f"`{output}`", f"{off['onnx']:.1e}", f"{off['torch']:.1e}"]


def _several_seeds(document: Document) -> bool:
    return len(document["metrics"].get("seeds", [])) > 1


def _scores(by_set: Document, *, spread: bool) -> Iterator[list[str]]:
    for role, models in by_set.items():
        for name, scores in models.items():
            top1, nll, ece = (cell(scores[name], spread=spread) for name in ("top1", "nll", "ece"))
            numbers = [top1, f"{scores['this_seed']:.2f}", nll, ece]
            yield [TITLES.get(role, role), short_name(name), *numbers]


def _params(document: Document) -> Iterator[list[str]]:
    for key, value in leaves(document["params"] or document["encoder"]).items():
        yield [_code(key), _code(json.dumps(value))]


def _code(text: str) -> str:
    """Return code for a cell of a table."""
    return as_code(text).replace("|", "\\|")


def _files(document: Document) -> Iterator[list[str]]:
    for name, one in document["files"].items():
        yield [f"`{name}`", f"{one['bytes']:,}", f"`{one['sha256']}`"]
