"""Linear probes of the features of image networks, one seed at a time, at every label ratio."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypedDict, cast

import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.given_features import read_given
from cspops.data.splits import ratio_key, read_choosing, read_few_shot, read_roles
from cspops.errors import CspopsError, DataError, EnvironmentProblem, ParamsError, nearest
from cspops.evaluation.metrics import judge
from cspops.evaluation.predictor import image_log_p
from cspops.files import sha256_of
from cspops.imagessl.images import Facts
from cspops.imagessl.methods import METHODS
from cspops.kernels import row_blocks
from cspops.models.backbones import ImageNetwork
from cspops.models.heads import LinearProbe
from cspops.params import Params, value_at
from cspops.params.image_networks import MethodSettings
from cspops.params.sections import ImageEncoder
from cspops.pipeline.pixels import Squares
from cspops.pipeline.pretrain_img import network_of, role_pixels, training_images
from cspops.pipeline.pretraining_inputs import extra_inputs
from cspops.pixels.reading import image_root
from cspops.pixels.tensors import read_reading
from cspops.report.image_networks_page import About
from cspops.shapes import Bool, Float, Int, Tensor, UInt8
from cspops.site import Site
from cspops.training.linear_probe import linear_probe
from cspops.training.loop import Run
from cspops.training.resume import Resume

log = logging.getLogger(__name__)

COLOUR = "colour statistics"


@dataclass(frozen=True)
class ImageRow:
    """A network, or the colour statistics where ``model`` is None."""

    name: str
    model: str | None
    weights: str | None
    """The weights before its pre-training, as `image_encoder.weights`."""
    images: Mapping[str, Any]
    """How images become its squares: the keys of `image_encoder` but model, weights and seed (here one of `seeds`)."""
    method: str = "none"
    settings: Mapping[str, Any] | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    """The sha256 of each `file:PATH` among weights and settings, None where it is missing."""

    @property
    def is_drawn(self) -> bool:
        """Whether a seed draws the network, so that each seed has features of its own."""
        return self.model is not None and (self.weights == "random" or self.method != "none")

    def about(self) -> About:
        """Return the row as plain values."""
        return cast(About, asdict(self))

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "ImageRow":
        """Return the row that `about` describes; other keys are ignored."""
        return cls(**{one.name: about[one.name] for one in fields(cls)})


def image_rows(params: Params, also: Sequence[str] = ()) -> list[ImageRow]:
    """Return colour statistics, random and published weights, every method of the registry, and those of ``also``.

    Raise a ParamsError for one of ``also`` that is no MODEL,WEIGHTS, and a DataError for a missing file of weights.
    """
    encoder = params.image_encoder
    images = encoder.model_dump(mode="json", exclude={"seed", "model", "weights"})
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
                f"--also {text} is no MODEL,WEIGHTS, with weights random, pretrained or file:PATH",
                hint="for example --also timm:resnet18,pretrained",
            )
        files = _files({"weights": weights})
        if None in files.values():
            raise DataError(f"--also {text}: that file is missing", hint="name a file of weights: file:PATH")
        rows.append(ImageRow(f"{model}, {weights}", model, weights, images, files=files))
    return rows


def chosen(rows: Sequence[ImageRow], names: Sequence[str]) -> list[ImageRow]:
    """Return the rows of these names, or all without any; `geo-ssl` is `geo_ssl`. Raise a ParamsError for an unknown name."""
    known = {_plain(row.name): row for row in rows}
    for name in names:
        if _plain(name) not in known:
            near = nearest(_plain(name), known, most=3, cutoff=0.4) or known
            names_near = ", ".join(known[one].name for one in near)
            raise ParamsError(
                f"there is no image network {name!r}: {'near it' if near is not known else 'there are'}: {names_near}",
                hint="cspops image-networks --list",
            )
    wanted = {_plain(name) for name in names} or known.keys()
    return [row for row in rows if _plain(row.name) in wanted]


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


def _files(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the sha256 of the file that each `file:PATH` names, None where it is missing."""
    out: dict[str, str | None] = {}
    for name, value in values.items():
        if isinstance(value, str) and value.startswith("file:"):
            file = Path(value.removeprefix("file:")).expanduser()
            out[name] = sha256_of(file) if file.is_file() else None
    return out


BATCH = 512
JUDGED = ("val", "test")
WHOLE = Squares(32)
"""The squares of colour statistics where `image_encoder` leaves them to the network."""

Features = dict[str, Float[Tensor, "n k"]]
"""By role, the features of all its rows in the catalogue's order."""


class Probed(TypedDict):
    """The result for a network and a seed."""

    dim: int
    facts: Facts
    scores: dict[str, dict[str, float]]
    """By label ratio: top-1 of each role, the number of labels and the L2 chosen."""


class Refusal(Exception):
    """A network is not available, or its method refuses these images; the message becomes its row."""


@dataclass
class Probes:
    """The catalogue, its split and its pixels; the pixels of each size are decoded once, on first use."""

    params: Params
    site: Site
    observations: Observations = field(init=False)
    masks: dict[str, Bool[Tensor, "n"]] = field(init=False)
    """The rows of `train`, `val` and `test`; in the last two those with a label are judged."""
    _known: dict[str, tuple[Features, Facts]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        download = self.site.inputs["download"]
        if read_given(download, image_root(read_reading(download), raw=self.site.raw, data_root=self.site.host.data_root)):
            raise DataError(
                "the data set comes with image features: there is no image to compare networks on",
                hint="set the source's form to images, where it has one, in params.yaml",
            )
        self.observations = read_observations(download)
        masks = read_roles(self.site.inputs["split"], self.observations.obs_id)
        self.masks = {role: masks[role] for role in ("train", *JUDGED) if masks[role].any()}
        if "val" not in self.masks or not (self.observations.label[self.masks["val"]] >= 0).any():
            raise DataError(
                "no row of role val has a label: the strength of L2 is chosen on them", hint="change split in params.yaml"
            )

    def piece(self, row: ImageRow, seed: int, resume: Resume) -> Probed:
        """Return top-1 of `val` and `test` (per cent) at every label ratio, and facts of the pre-training; raise `Refusal`."""
        features, facts = self._features(row, seed, resume)
        scores = {}
        for ratio in self.params.split.label_ratios:
            scores[ratio_key(ratio)] = result = self._probed(features, seed, ratio)
            tops = ", ".join(f"{role} {result[role]:.2f}" for role in JUDGED if role in result)
            log.info(f"{100 * ratio:g} % of the labels, top-1: {tops}")
        return {"dim": features["train"].shape[1], "facts": facts, "scores": scores}

    def pixels(self, role: str, square: Squares) -> UInt8[Tensor, "n px px 3"]:
        """Return the squares of a role's rows."""
        return role_pixels(role, square, self._site(role, square), stage=f"image-networks: {role}")

    def labels(self, ratio: float, seeds: Sequence[int]) -> list[int]:
        """Return how many rows are labelled at a label ratio; more than one number where seeds differ."""
        split, obs_id = self.site.inputs["split"], self.observations.obs_id
        return sorted({int(read_few_shot(split, obs_id, seed=seed, ratio=ratio).sum()) for seed in seeds})

    def _site(self, role: str, square: Squares) -> Site:
        folder = self.site.scratch / "pixels" / f"{square.px}-{square.crop:g}-{square.interpolation}" / role
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self.site, scratch=folder)

    def _features(self, row: ImageRow, seed: int, resume: Resume) -> tuple[Features, Facts]:
        """Return features and facts; what no seed draws is computed once for all seeds."""
        if row.is_drawn:
            return self._computed(row, seed, resume)
        if row.name not in self._known:
            self._known = {row.name: self._computed(row, seed, resume)}
        return self._known[row.name]

    def _computed(self, row: ImageRow, seed: int, resume: Resume) -> tuple[Features, Facts]:
        device = self.site.host.torch_device()
        if row.model is None:
            square = replace(WHOLE, **{name: value for name, value in row.images.items() if value is not None})
            return {role: in_batches(colour_statistics, self.pixels(role, square)) for role in self.masks}, {}
        try:
            network = image_network(row, seed=seed)
        except DataError as error:
            raise Refusal(error.message) from error
        square = Squares(**{name: network.config[name] for name in ("px", "crop", "interpolation")})
        pixels = {role: self.pixels(role, square) for role in self.masks}
        try:
            facts = self._pretrained(row, network, seed, resume) if row.method != "none" else {}
            network.to(device).eval()
            # As stage featurize keeps them: float16.
            features = {
                role: in_batches(lambda block: network(block.to(device)).half().float().cpu(), squares)
                for role, squares in pixels.items()
            }
        except EnvironmentProblem:
            raise
        except CspopsError as error:
            raise Refusal(error.message) from error
        if not all(matrix.isfinite().all() for matrix in features.values()):
            raise Refusal("its features leave the range of float16")
        return features, facts

    def _pretrained(self, row: ImageRow, network: ImageNetwork, seed: int, resume: Resume) -> Facts:
        """Train ``network`` as stage pretrain-img does, and return the facts."""
        square = replace(WHOLE, px=network.config["px"], interpolation=network.config["interpolation"])
        site, run = self._site("train", square), Run(seed, self.site.host.torch_device(), resume)
        images = training_images(network, site, run.device)
        settings: MethodSettings = getattr(self.params.pretrain_img.methods, row.method)
        return METHODS[row.method](network, images, settings, run, **extra_inputs(settings, images, site)).facts

    def _probed(self, features: Features, seed: int, ratio: float) -> dict[str, float]:
        """Return top-1 of each judged role, the number of labels and the L2 chosen."""
        split, label, classes = self.site.inputs["split"], self.observations.label, len(self.observations.classes)
        rows = read_few_shot(split, self.observations.obs_id, seed=seed, ratio=ratio)
        x = {"train": features["train"][rows[self.masks["train"]]]}
        y = {"train": label[rows]}
        may_choose = read_choosing(split, self.observations.obs_id, seed=seed, ratio=ratio)["val"][self.masks["val"]]
        x["choosing"], y["choosing"] = features["val"][may_choose], label[self.masks["val"]][may_choose]
        for role in JUDGED:
            if role in self.masks:
                y[role] = label[self.masks[role]]
                x[role], y[role] = features[role][y[role] >= 0], y[role][y[role] >= 0]
        settings = value_at(self.params, "finetune_img.modes.linear_probe")
        probe, search = linear_probe(
            x["train"],
            y["train"],
            x["choosing"],
            y["choosing"],
            classes=classes,
            l2=settings.l2,
            max_iterations=settings.max_iterations,
        )
        tops = {role: top1(probe, x[role], y[role], classes=classes) for role in JUDGED if role in y and len(y[role])}
        return tops | {"labels": len(y["train"]), "l2": min(search, key=lambda choice: choice.val_nll).l2}


def image_network(row: ImageRow, *, seed: int) -> ImageNetwork:
    """Return the network of a row before its pre-training."""
    about = ImageEncoder.model_construct(model=str(row.model), weights=str(row.weights), **row.images)
    return network_of(about, seed=seed)


@torch.no_grad()
def in_batches(
    function: Callable[[UInt8[Tensor, "b h w 3"]], Float[Tensor, "b k"]], pixels: UInt8[Tensor, "n h w 3"]
) -> Float[Tensor, "n k"]:
    """Return ``function`` of each image, computed for `BATCH` of them at a time."""
    return torch.cat([function(block) for block in pixels.split(BATCH)])


def colour_statistics(pixels: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n 6"]:
    """Return mean and standard deviation of each channel, in [0, 1]."""
    flat = pixels.flatten(1, 2).float() / 255
    return torch.cat([flat.mean(1), flat.std(1, correction=0)], 1)


@torch.no_grad()
def top1(probe: LinearProbe, features: Float[Tensor, "n k"], label: Int[Tensor, "n"], *, classes: int) -> float:
    """Return top-1 in per cent, as stage evaluate counts it, computed some rows at a time."""
    hits = torch.zeros(len(label), dtype=torch.bool)
    for rows in row_blocks(torch.arange(len(label)), classes):
        hits[rows] = judge(image_log_p(probe(features[rows])), label[rows]).hits
    return 100 * float(hits.double().mean())
