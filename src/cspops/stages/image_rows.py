"""The rows of the table of image networks: what each network is, and the hash of all that its numbers depend on."""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cspops.errors import DataError, ParamsError
from cspops.imagessl.methods import METHODS
from cspops.params import Params, value_at
from cspops.paths import sha256_of

COLOUR = "colour statistics"


@dataclass(frozen=True)
class ImageRow:
    """A network, or the colour statistics where ``model`` is None."""

    name: str
    model: str | None
    weights: str | None
    """Before its pre-training, as `image_encoder.weights`."""
    images: Mapping[str, Any]
    """How images become its squares: what `image_encoder` says besides."""
    method: str = "none"
    settings: Mapping[str, Any] | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    """The sha256 of each `file:PATH` among weights and settings, None where it is missing."""

    @property
    def is_drawn(self) -> bool:
        """Whether a seed draws the network, so that each has features of its own."""
        return self.model is not None and (self.weights == "random" or self.method != "none")

    def about(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "ImageRow":
        """The inverse of `about`, which ignores other keys."""
        return cls(**{name: about[name] for name in cls.__dataclass_fields__})


def image_rows(params: Params, also: Sequence[str] = ()) -> list[ImageRow]:
    """Colour statistics, random and published weights, every method of the registry, and those of ``also``.

    ParamsError for one of ``also`` that is no MODEL,WEIGHTS; DataError for a file of weights that is missing.
    """
    encoder = params.image_encoder
    images = encoder.model_dump(mode="json", exclude={"model", "weights"})
    rows = [
        ImageRow(COLOUR, None, None, images),
        ImageRow("random", encoder.model, "random", images),
        ImageRow("published", encoder.model, "pretrained", images),
    ]
    for name in METHODS:
        settings = value_at(params, f"pretrain_img.methods.{name}").model_dump(mode="json")
        files = _files({"weights": encoder.weights} | settings)
        rows.append(ImageRow(name, encoder.model, encoder.weights, images, name, settings, files))
    for text in dict.fromkeys(also):
        model, _, weights = (part.strip() for part in text.partition(","))
        if not model or not (weights in ("random", "pretrained") or weights.startswith("file:")):
            raise ParamsError(
                f"--also {text} is no MODEL,WEIGHTS, of which the weights are random, pretrained or file:PATH",
                hint="such as --also timm:resnet18,pretrained",
            )
        files = _files({"weights": weights})
        if None in files.values():
            raise DataError(f"--also {text}: that file is missing", hint="name a file of weights: file:PATH")
        rows.append(ImageRow(f"{model}, {weights}", model, weights, images, files=files))
    return rows


def chosen(rows: Sequence[ImageRow], names: Sequence[str]) -> list[ImageRow]:
    """The rows of those names, all for none; `geo-ssl` is `geo_ssl`. ParamsError names near ones."""
    known = {_plain(row.name): row for row in rows}
    for name in names:
        if _plain(name) not in known:
            near = difflib.get_close_matches(_plain(name), known, n=3, cutoff=0.4) or known
            said = ", ".join(known[one].name for one in near)
            raise ParamsError(
                f"there is no image network {name!r}: {'near it' if near is not known else 'there are'}: {said}",
                hint="cspops image-networks --list",
            )
    wanted = {_plain(name) for name in names} or known.keys()
    return [row for row in rows if _plain(row.name) in wanted]


def key_of(*parts: Any) -> str:
    """A hash of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


def _files(values: Mapping[str, Any]) -> dict[str, str | None]:
    """The sha256 of the file that each `file:PATH` names; only their content says whether they are still the same."""
    out: dict[str, str | None] = {}
    for name, value in values.items():
        if isinstance(value, str) and value.startswith("file:"):
            file = Path(value.removeprefix("file:")).expanduser()
            out[name] = sha256_of(file) if file.is_file() else None
    return out
