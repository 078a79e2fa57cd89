"""The published GAIR model: its sizes, and the layout of the released checkpoint."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from cspops.errors import DataError
from cspops.gair.alibi_vit import AlibiVit
from cspops.gair.location import SIGMAS, Capsules
from cspops.gair.nili import Nili
from cspops.gair.photo_vit import PhotoVit
from cspops.kernels import Linear
from cspops.models.checkpoint import Config, load_config, load_weights
from cspops.models.torch_files import first_keys, is_plain, read_torch_file, require_file, table_of_tensors, trainer_globals
from cspops.shapes import Float, Tensor

__all__ = ["load_published", "read_published"]

FORMAT = "the released GAIR checkpoint is a file of torch.save with the table of tensors, or with that under the key model"
IMPORT = "cspops import-checkpoint FILE --out FOLDER writes it anew"

PREFIXES = {
    "overhead": "rs_encoder.s2_encoder",
    "photo": "sv_encoder",
    "location": "location_encoder",
    "nili.decoder": "imnet",
    "overhead_projection": "radar_proj",
    "photo_projection": "optical_proj",
    "location_projection": "location_proj",
}
"""Parts of the model here, and their names in the checkpoint; below them the names are the same."""

LEFT_OUT = {
    "nerf_fn": "an attention decoder that nothing calls",
    "query_feature": "the query of nerf_fn",
    "rs_patch_pos_encoding": "positions of patches for nerf_fn",
    "rs_encoder.layer_norm": "CROMA's own norm, for its own head",
    "rs_encoder.head": "CROMA's own head; the overhead embedding is the mean token",
    "logit_scale": "log(1 / 0.07), fixed",
    "queue_for_location": "negative places of the last steps; training starts its queue afresh",
    "queue_ptr_location": "where the queue stood",
    "queue_for_rs_encoding": "a queue that no loss reads",
    "queue_ptr_rs": "where that queue stood",
    "rs_student_projector": "a layer that no loss reads",
    "sv_student_projector": "a layer that no loss reads",
    "rs_encoder_teacher": "the frozen first overhead network, for distillation",
    "sv_encoder_teacher": "the frozen first photo network, for distillation",
    "optimizer": "training starts its optimizer afresh",
}
"""Why names of the checkpoint, and all below them, are not taken."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the model; the defaults are the published ones. The numbers of heads and ``px`` stand in no tensor's shape."""

    px: int = 96
    patch: int = 8
    bands: int = 10
    overhead_depth: int = 12
    overhead_heads: int = 16
    photo_px: int = 224
    photo_patch: int = 16
    photo_depth: int = 12
    photo_heads: int = 12
    photo_hidden: int = 3072
    features: int = 256
    capsule_hidden: int = 1024
    dim: int = 768


class Embeddings(NamedTuple):
    """What the model makes of n pairs of images; none is normalised."""

    at_place: Float[Tensor, "n d"]
    """r: overhead features at the place of the photo."""
    photo: Float[Tensor, "n d"]
    """o: the projected photo embedding."""
    location: Float[Tensor, "n d"]
    """l: the place's embedding."""
    overhead: Float[Tensor, "n d"]
    """The mean token."""
    pooled_photo: Float[Tensor, "n d"]
    """The photo embedding before its projection."""


class Published(nn.Module):
    """The published model: overhead and photo network, location encoder, NILI, and three projections.

    Only the photo's projection is used: what is compared are NILI's output, the projected photo and the location embedding
    as they are.

    The state dict has that of `AlibiVit` below ``overhead``, of `PhotoVit` below ``photo``, of `Capsules` below ``location``,
    of a linear `Nili` below ``nili``, and ``overhead_projection``, ``photo_projection`` and ``location_projection`` (weight
    (d, d), bias); `PREFIXES` has their names in the released checkpoint.

    Args:
        sizes: of the networks.
        attention_dropout: of the photo network in training.
    """

    def __init__(self, sizes: Sizes, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        dim = sizes.dim
        self.overhead = AlibiVit(sizes.px, sizes.patch, sizes.bands, dim, sizes.overhead_depth, sizes.overhead_heads)
        self.photo = PhotoVit(
            sizes.photo_px,
            sizes.photo_patch,
            dim,
            sizes.photo_depth,
            sizes.photo_heads,
            sizes.photo_hidden,
            attention_dropout,
        )
        self.location = Capsules(sizes.features, sizes.capsule_hidden, dim, SIGMAS)
        self.nili = Nili(dim, dim)
        self.overhead_projection = Linear(dim, dim)
        self.photo_projection = Linear(dim, dim)
        self.location_projection = Linear(dim, dim)

    def forward(
        self,
        overhead: Float[Tensor, "*overhead"],
        photo: Float[Tensor, "*photo"],
        bbox: Float[Tensor, "*boxes"],
        lonlat: Float[Tensor, "*places"],
    ) -> Embeddings:
        """Embed pairs: overhead images (n, bands, px, px) with footprints (n, 4), photos (n, 3, px, px) at places (n, 2)."""
        tokens, pooled = self.overhead(overhead), self.photo(photo)
        projected: Tensor = self.photo_projection(pooled)
        return Embeddings(self.nili(tokens, bbox, lonlat), projected, self.location(lonlat), tokens.mean(1), pooled)


def read_published(file: Path) -> tuple[Published, list[str]]:
    """Read the released checkpoint, without running anything that it holds; the sizes are read off the tensors' shapes.

    Returns:
        the model in eval mode, in float32, and the names in the file that it does not have.

    Raises:
        DataError: no such file, none of this layout, or a tensor is missing, misshapen or not finite; file and name are told.
    """
    require_file(file, hint=FORMAT)
    tensors, others = tensors_of(file)
    model, rest = published_of(file, tensors)
    return model, rest + others


def tensors_of(file: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a trainer's file by name, without the prefix `module.`, and the names beside their table."""
    content = read_torch_file(file, hint=FORMAT, allowed=trainer_globals())
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__}, not a table of tensors", hint=FORMAT)
    table = table_of_tensors(content)
    others = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor | Mapping)]
    others += ["optimizer"] if "optimizer" in content else []
    tensors = {name.removeprefix("module."): one for name, one in table.items() if is_plain(one)}
    return tensors, [one for one in dict.fromkeys(others) if one not in tensors]


def is_published(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether names are of the released GAIR checkpoint: they are below those of the three encoders."""
    encoders = [PREFIXES[part] for part in ("overhead", "photo", "location")]
    return all(any(name.startswith(f"{one}.") for name in tensors) for one in encoders)


def published_of(file: Path, tensors: Mapping[str, Tensor]) -> tuple[Published, list[str]]:
    """Return the model that ``tensors`` of ``file`` are, and the names of those that it does not have."""
    with torch.device("meta"):  # every tensor comes from the file
        model = Published(_sizes(file, tensors))
    state = {}
    for name, own in model.state_dict().items():
        theirs = released_name(name)
        tensor = _tensor(file, tensors, theirs)
        if tensor.shape != own.shape:
            raise DataError(
                f"{file}: {theirs} has shape {tuple(tensor.shape)}, not {tuple(own.shape)} as its others ask for", hint=FORMAT
            )
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise DataError(f"{file}: {theirs} holds values that are no numbers", hint="another copy of the file")
        state[name] = tensor.float()
    model.load_state_dict(state, assign=True)
    taken = {released_name(name) for name in state}
    return model.eval().requires_grad_(True), [name for name in tensors if name not in taken]


def released_name(name: str) -> str:
    """Return what a tensor of `Published` is called in the checkpoint."""
    part = next(one for one in PREFIXES if name.startswith(f"{one}."))
    return PREFIXES[part] + name.removeprefix(part)


def load_published(folder: Path) -> Published:
    """Load the folder `gair` that `cspops import-checkpoint` wrote, in eval mode.

    Raises:
        DataError: the folder holds no such model.
    """
    config = load_config(folder, remake=IMPORT)
    try:
        model = Published(Sizes(**config["sizes"]))
    except Exception:  # whatever torch raises at values of another kind
        raise DataError(f"{folder / 'config.json'} describes no GAIR model", hint=IMPORT) from None
    load_weights(folder, model, remake=IMPORT)
    return model.eval()


def config_of(model: Published) -> Config:
    """Return what `load_published` rebuilds the model from."""
    return {"kind": "gair", "sizes": dataclasses.asdict(model.sizes)}


def _sizes(file: Path, tensors: Mapping[str, Tensor]) -> Sizes:
    """Read the sizes off the shapes; patches and heads are the published ones."""
    given = Sizes()

    def size(part: str, name: str, ndim: int, axis: int) -> int:
        theirs = f"{PREFIXES[part]}.{name}"
        tensor = _tensor(file, tensors, theirs)
        if tensor.ndim != ndim or 0 in tensor.shape:
            raise DataError(f"{file}: {theirs} has shape {tuple(tensor.shape)}, not {ndim} axes", hint=FORMAT)
        return int(tensor.shape[axis])

    def depth(part: str, layers: str) -> int:
        start = re.compile(rf"{re.escape(PREFIXES[part])}\.{layers}\.(\d+)\.")
        return len({match[1] for name in tensors if (match := start.match(name))})

    dim = size("overhead", "linear_input.weight", 2, 0)
    per_band = given.patch**2
    places = size("photo", "embeddings.position_embeddings", 3, 1) - 1
    wide = size("overhead", "linear_input.weight", 2, 1)
    for what, fits in (
        (f"{PREFIXES['overhead']}.linear_input.weight: {dim} rows are not {given.overhead_heads} heads of a width, and "
         f"{given.photo_heads}", dim % given.overhead_heads == 0 == dim % given.photo_heads),
        (f"{PREFIXES['overhead']}.linear_input.weight: {wide} columns are no bands of patches of {given.patch} px",
         wide % per_band == 0),
        (f"{PREFIXES['photo']}.embeddings.position_embeddings: {places} places of patches are no square",
         round(places**0.5) ** 2 == places > 0),
    ):
        if not fits:
            raise DataError(f"{file}: {what}", hint=FORMAT)
    return dataclasses.replace(
        given,
        dim=dim,
        bands=wide // per_band,
        overhead_depth=depth("overhead", r"transformer\.layers"),
        photo_depth=depth("photo", r"encoder\.layer"),
        photo_px=round(places**0.5) * given.photo_patch,
        photo_hidden=size("photo", "encoder.layer.0.intermediate.dense.weight", 2, 0),
        features=size("location", "LocEnc0.capsule.0.b", 2, 0),
        capsule_hidden=size("location", "LocEnc0.capsule.1.weight", 2, 0),
    )


def _tensor(file: Path, tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise DataError(f"{file} lacks the tensor {name}; it holds {first_keys([*tensors])}", hint=FORMAT)
    return tensors[name]
