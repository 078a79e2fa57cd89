"""The layout of the released GAIR checkpoint."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cspops.errors import DataError
from cspops.gair.model import Published, Sizes
from cspops.models.torch_files import (
    UNDER,
    first_keys,
    is_plain,
    read_torch_file,
    require_file,
    table_of_tensors,
    trainer_globals,
)
from cspops.shapes import Tensor

__all__ = ["read_published"]

FORMAT = "the released GAIR checkpoint is a file of torch.save with a table of tensors, or with that table under the key model"

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
    "scaler": "training starts its scale for mixed precision afresh",
    "args": "the command line of the training",
}
"""Why names of the checkpoint, and all below them, are not taken."""


@dataclasses.dataclass(frozen=True)
class Content:
    """What a checkpoint of this layout holds.

    Args:
        file: where it was read.
        tensors: by name, without the prefix `module.`.
        others: names of everything else in the file, but for `epoch`.
        epoch: the last one, where the file tells it.
    """

    file: Path
    tensors: dict[str, Tensor]
    others: list[str]
    epoch: int | None

    @property
    def is_published(self) -> bool:
        """Whether the names are those of the released GAIR checkpoint, be it damaged: below those of two of its encoders."""
        encoders = [PREFIXES[part] for part in ("overhead", "photo", "location")]
        return sum(any(name.startswith(f"{one}.") for name in self.tensors) for one in encoders) > 1

    def tensor(self, name: str, ndim: int) -> Tensor:
        """Return a tensor with so many axes; raise a DataError where there is none."""
        if name not in self.tensors:
            raise DataError(f"{self.file} lacks the tensor {name}; it holds {first_keys([*self.tensors])}", hint=FORMAT)
        tensor = self.tensors[name]
        if tensor.ndim != ndim or 0 in tensor.shape:
            raise self.refusal(name, f"has shape {tuple(tensor.shape)}, not {ndim} axes")
        return tensor

    def refusal(self, name: str, why: str) -> DataError:
        return DataError(f"{self.file}: {name} {why}", hint=FORMAT)


def read_published(file: Path) -> tuple[Published, list[str]]:
    """Read the released checkpoint, without running anything that it holds; the sizes are read off the tensors' shapes.

    Returns:
        the model in eval mode, in float32, and the names in the file that it does not have.

    Raises:
        DataError: no such file, none of this layout, or a tensor is missing, misshapen or not finite; file and name are told.
    """
    return rebuilt(read_content(file))


def read_content(file: Path) -> Content:
    """Read a trainer's file with torch's restricted unpickler; raise a DataError where it is none."""
    require_file(file, hint=FORMAT)
    content: Any = read_torch_file(file, hint=FORMAT, allowed=trainer_globals())
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__}, not a table of tensors", hint=FORMAT)
    under = next((key for key in UNDER if isinstance(content.get(key), Mapping)), None)
    table = table_of_tensors(content)
    tensors = {name.removeprefix("module."): one for name, one in table.items() if is_plain(one)}
    others = [str(key) for key in content if key not in (under, "epoch")] if under else []
    epoch = content.get("epoch")
    return Content(
        file,
        tensors,
        others + [name for name, one in table.items() if not is_plain(one)],
        epoch if isinstance(epoch, int) else None,
    )


def rebuilt(content: Content) -> tuple[Published, list[str]]:
    """Return the model that a checkpoint holds, and the names in it that the model does not have; see `read_published`."""
    with torch.device("meta"):  # every tensor comes from the file
        model = Published(_sizes(content))
    state = {}
    for name, own in model.state_dict().items():
        theirs = released_name(name)
        tensor = content.tensor(theirs, own.ndim)
        if tensor.shape != own.shape:
            raise content.refusal(theirs, f"has shape {tuple(tensor.shape)}, but {tuple(own.shape)} by the other tensors")
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise content.refusal(theirs, "holds values that are no numbers")
        state[name] = tensor.float()
    model.load_state_dict(state, assign=True)
    taken = {released_name(name) for name in state}
    return model.eval(), [name for name in content.tensors if name not in taken] + content.others


def released_name(name: str) -> str:
    """Return what a tensor of `Published` is called in the checkpoint."""
    part = next(one for one in PREFIXES if name.startswith(f"{one}."))
    return PREFIXES[part] + name.removeprefix(part)


def reasons(leftovers: list[str]) -> dict[str, str]:
    """Return why names of a checkpoint are not taken; those below a name of `LEFT_OUT` together."""
    out = {}
    for name in leftovers:
        known = next((one for one in LEFT_OUT if f"{name}.".startswith(f"{one}.")), name)
        out[known if known == name else f"{known}.*"] = LEFT_OUT.get(known, "unknown to this project")
    return out


def _sizes(content: Content) -> Sizes:
    """Read the sizes off the shapes; those of patches and the numbers of heads are the published ones."""
    given = Sizes()

    def size(part: str, name: str, ndim: int, axis: int) -> int:
        return content.tensor(f"{PREFIXES[part]}.{name}", ndim).shape[axis]

    def depth(part: str, layers: str) -> int:
        start = re.compile(rf"{re.escape(PREFIXES[part])}\.{layers}\.(\d+)\.")
        return max(1, len({match[1] for name in content.tensors if (match := start.match(name))}))

    entry, positions = f"{PREFIXES['overhead']}.linear_input.weight", f"{PREFIXES['photo']}.embeddings.position_embeddings"
    dim, wide = content.tensor(entry, 2).shape
    if dim % given.overhead_heads or dim % given.photo_heads:
        raise content.refusal(entry, f"has {dim} rows, no multiple of {given.overhead_heads} and {given.photo_heads} heads")
    if wide % given.patch**2:
        raise content.refusal(entry, f"has {wide} columns: no bands of patches of {given.patch} px")
    return dataclasses.replace(
        given,
        dim=dim,
        bands=wide // given.patch**2,
        px=given.patch * _side(content, "rs_patch_pos_encoding", 0) if "rs_patch_pos_encoding" in content.tensors else given.px,
        overhead_depth=depth("overhead", r"transformer\.layers"),
        photo_px=given.photo_patch * _side(content, positions, 1),
        photo_depth=depth("photo", r"encoder\.layer"),
        photo_hidden=size("photo", "encoder.layer.0.intermediate.dense.weight", 2, 0),
        features=size("location", "LocEnc0.capsule.0.b", 2, 0),
        capsule_hidden=size("location", "LocEnc0.capsule.1.weight", 2, 0),
    )


def _side(content: Content, name: str, before: int) -> int:
    """Return the side of the square of patches whose positions (1, before + patches, d) have this name."""
    patches = content.tensor(name, 3).shape[1] - before
    side = math.isqrt(max(patches, 0))
    if side == 0 or side * side != patches:
        raise content.refusal(name, f"has positions of {patches} patches, which make no square")
    return side
