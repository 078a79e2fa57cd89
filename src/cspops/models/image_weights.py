"""Weights of an image network from a file: safetensors or torch.save, in the layouts that image pre-training leaves."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from cspops.errors import DataError
from cspops.files import sha256_of
from cspops.models.torch_files import (
    first_keys,
    is_plain,
    read_torch_file,
    require_file,
    table_of_tensors,
    trainer_globals,
)
from cspops.shapes import Tensor

FORMAT = "file:PATH of image_encoder.weights names a safetensors file, or one of torch.save with a state_dict, for this model"
OUTER = ("module", "_orig_mod", "_fsdp_wrapped_module", "encoder_q", "backbone", "model")
"""Names that networks are wrapped in: by DataParallel, torch.compile, MoCo and its like, detectors, Lightning."""
JUDGED = ("encoder_q", "teacher", "online_network", "online_encoder", "base_encoder")
"""Of two networks that train each other, the one that their authors evaluate: of MoCo, DINO, BYOL, MoCo v3."""


@dataclass(frozen=True)
class ImageWeights:
    """What a file holds for a network.

    Args:
        sha256: of the file.
        state: every tensor of the network, by its names.
        left_out: the rest of the file: names in it, `.*` for all below.
    """

    sha256: str
    state: dict[str, Tensor]
    left_out: tuple[str, ...]


def read_image_weights(file: Path, network: nn.Module, *, heads: Sequence[str], model: str) -> ImageWeights:
    """Read the weights of ``network`` from a file; nothing that the file holds is run, and the network stays as it is.

    Args:
        network: the network without its classifier.
        heads: classifiers that published files may hold, by name of their module.
        model: what the network is called in messages.

    Raises:
        DataError: no such file, none of these formats, or not the tensors of this network; one sentence names them.
    """
    require_file(file, hint=FORMAT)
    state, left_out = fitted(_tensors(file), network, heads=heads, source=str(file), model=model)
    return ImageWeights(sha256_of(file), state, left_out)


def fitted(
    tensors: Mapping[str, Tensor], network: nn.Module, *, heads: Sequence[str], source: str, model: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return every tensor under the network's own name, and the names of those left out.

    Where all of the network is in the file behind one prefix, whatever it is, that part alone counts; where it is there behind
    several, the one of `JUDGED`. Else names are unwrapped (`OUTER`, in any nesting). Where all names then begin with a number,
    they count the network's children (an nn.Sequential made of them). Batch norms of old files do not count their batches;
    that count is never used.

    Raises:
        DataError: tensors are missing, left over or of another shape.
    """
    wanted, children = network.state_dict(), [name for name, _ in network.named_children()]
    wrappers = [one for one in OUTER if one not in children]
    inner = {name: _unwrapped(name, wrappers) for name in tensors}
    prefix = _prefix(tensors, wanted, source=source, model=model)
    if prefix is not None:
        outer = tuple(prefix.split(".")[:-1])
        inner |= {name: (outer, name.removeprefix(prefix)) for name in tensors if name.startswith(prefix)}
        taken = {name: rest for name, (_, rest) in inner.items() if name.startswith(prefix) or rest in wanted}
    else:
        query = any("encoder_q" in outer for outer, _ in inner.values())
        taken = {name: rest for name, (outer, rest) in inner.items() if not query or "encoder_q" in outer}
    left_out = [_group(*inner[name], 1) for name in tensors if name not in taken]
    taken = _by_child(taken, children)
    state: dict[str, Tensor] = {}
    foreign: list[str] = []
    for name, rest in taken.items():
        ours = rest if rest in wanted else _older(rest)
        head = next((one for one in heads if f"{ours}.".startswith(f"{one}.")), None)
        if ours in wanted and ours not in state:
            state[ours] = tensors[name]
        elif head is not None and ours not in wanted:
            left_out.append(_group(inner[name][0], inner[name][1], head.count(".") + 1))
        else:
            foreign.append(name)
    for name, tensor in wanted.items():
        if name.endswith(".num_batches_tracked"):
            state.setdefault(name, tensor)
    _check(state, wanted, foreign, source=source, model=model)
    return state, tuple(dict.fromkeys(left_out))


def _prefix(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, source: str, model: str) -> str | None:
    """Return the prefix behind which every tensor of the network is in the file; None where there is none."""
    needed = [name for name in wanted if not name.endswith(".num_batches_tracked")]
    starts = [name.removesuffix(needed[0]) for name in tensors if f".{name}".endswith(f".{needed[0]}")]
    whole = [start for start in starts if all(start + name in tensors for name in needed)]
    judged = [start for start in whole if set(start.split(".")) & set(JUDGED)]
    if len(whole) > 1 and len(judged) != 1:
        raise DataError(
            f"{source} holds {model} {len(whole)} times, as {first_keys([one or 'names without a prefix' for one in whole])}",
            hint="save the network that is meant by itself",
        )
    return (judged or whole)[0] if len(whole) > 1 else next(iter(whole), None)


def _tensors(file: Path) -> dict[str, Tensor]:
    with file.open("rb") as opened:
        head = opened.read(9)
    if file.suffix == ".safetensors" or head[8:] == b"{":
        try:
            return load_file(file)
        except Exception as error:  # of a header that names unknown kinds, KeyError and others
            raise DataError(f"{file} is no whole safetensors file: {error}", hint=FORMAT) from None
    content = read_torch_file(file, hint=FORMAT, allowed=trainer_globals())
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__}, not a table of tensors", hint=FORMAT)
    state = table_of_tensors(content)
    others = [name for name, value in state.items() if not is_plain(value)]
    if others or not state:
        raise DataError(f"{file} holds no table of tensors, but {first_keys(others or content)}", hint=FORMAT)
    return state


def _unwrapped(name: str, wrappers: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Split a tensor's name into the names that wrap it and the rest."""
    parts = name.split(".")
    depth = 0
    while depth < len(parts) - 1 and parts[depth] in wrappers:
        depth += 1
    return tuple(parts[:depth]), ".".join(parts[depth:])


def _by_child(names: dict[str, str], children: Sequence[str]) -> dict[str, str]:
    """Replace numbers of children by their names, where names are numbered throughout."""
    numbered = all(rest.split(".")[0].isdecimal() for rest in names.values())
    if not numbered or any(one.isdecimal() for one in children):
        return names
    by_number = {str(number): name for number, name in enumerate(children)}
    out = {}
    for name, rest in names.items():
        first, dot, below = rest.partition(".")
        out[name] = by_number.get(first, first) + dot + below
    return out


def _older(name: str) -> str:
    """Return the present name of a tensor of torchvision's DenseNets: their published files have `norm.1` for `norm1`."""
    return re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def _group(outer: Iterable[str], rest: str, depth: int) -> str:
    parts = rest.split(".")
    return ".".join([*outer, *parts[:depth]]) + (".*" if len(parts) > depth else "")


def _check(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], foreign: list[str], *, source: str, model: str) -> None:
    missing = [name for name in wanted if name not in state]
    shapes = [
        f"{name}: {_shape(state[name])} and not {_shape(wanted[name])}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {what} ({first_keys(names, 3)})"
        for what, names in (("are missing", missing), ("are not of this network", foreign), ("are of another shape", shapes))
        if names
    ]
    if not problems and (bad := [name for name, tensor in state.items() if not tensor.isfinite().all()]):
        raise DataError(f"{source} holds values that are no numbers, in {first_keys(bad, 3)}", hint="another file of weights")
    if problems:
        raise DataError(
            f"{source} does not fit {model}: of its tensors {', '.join(problems)}",
            hint="set image_encoder.model in params.yaml to the network of the file, by its name in timm or torchvision",
        )


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a number"
