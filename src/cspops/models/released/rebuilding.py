"""Build this project's modules with the weights of a released checkpoint."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import nn

from cspops.errors import DataError
from cspops.models.checkpoint import Config
from cspops.models.encodings import ENCODINGS
from cspops.models.encodings.times import CosSin
from cspops.models.heads import ClassEmbedding, Projection
from cspops.models.location_encoder import LocationEncoder
from cspops.models.released.kinds import GEO_PRIOR, KINDS, WITHOUT_EQUAL, Kind, Settings, encoder_config
from cspops.models.released.reading import Checkpoint
from cspops.seeds import global_torch_stream
from cspops.shapes import Tensor

LEFT_OUT = {
    "user_emb.weight": "scores of photographers, for a loss that this project does not have",
    "loc_dec.weight": "the released regression head, dropped after pre-training",
    "loc_dec.bias": "the released regression head, dropped after pre-training",
    "optimizer": "fine-tuning starts its optimizer afresh",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor of the checkpoint: its name there, its shape, and its name in the encoder here."""

    theirs: str
    shape: tuple[int, ...]
    ours: str


@dataclasses.dataclass(frozen=True)
class Released:
    """A checkpoint in this project's modules.

    Args:
        kind: `spa_enc_type`.
        encoder: e, in eval mode.
        class_embedding: T, where the checkpoint has it.
        projection: W, where the checkpoint has it; it takes image features as they are (identity statistics).
        mapped: names of tensors, here to there.
        left_out: names in the file that were not taken, with the reason.
    """

    kind: str
    encoder: LocationEncoder
    class_embedding: ClassEmbedding | None
    projection: Projection | None
    mapped: dict[str, str]
    left_out: dict[str, str]


def rebuild(checkpoint: Checkpoint) -> Released:
    """Return modules that give the same output as the released network in evaluation.

    Raises:
        DataError: an encoder that has no equal here, or tensors that do not fit the params; the message names file,
            entry, what fits and what the file holds.
    """
    settings = Settings(checkpoint.file, checkpoint.params)
    name = _name(settings)
    if name not in KINDS:
        why = WITHOUT_EQUAL.get(name, "nothing here equals it")
        supported = f"supported: {', '.join(KINDS)}"
        raise DataError(f"{checkpoint.file}: encoder {name!r} cannot be imported: {why}", hint=supported)
    kind = KINDS[name]
    config = encoder_config(kind, settings)
    width = _width(config)
    state = _distinct(checkpoint, kind)
    entries = residual_entries(config, width) if kind.network == "residual" else ffn_entries(config, width)
    for entry in entries:
        _check(checkpoint, state, entry.theirs, entry.shape)
    with global_torch_stream(0, "released"):  # initial weights, all replaced below
        encoder = LocationEncoder(config)
    for theirs, ours in kind.buffers.items():
        entries.append(Entry(theirs, tuple(encoder.state_dict()[ours].shape), ours))
        _check(checkpoint, state, theirs, entries[-1].shape)
    weights = {entry.ours: state.pop(entry.theirs) for entry in entries}
    if kind.adapt:
        kind.adapt(settings, weights)
    encoder.load_state_dict(weights, strict=True)
    mapped = {f"encoder.{entry.ours}": entry.theirs for entry in entries}
    class_embedding, projection = None, None
    if "class_emb.weight" in state:
        with global_torch_stream(0, "released"):
            class_embedding = ClassEmbedding(encoder.dim, settings.count("num_classes"))
        names = {"linear.weight": "class_emb.weight"}
        _fill(checkpoint, state, class_embedding, names, mapped, "class_embedding")
    if "img_dec.weight" in state:
        with global_torch_stream(0, "released"):
            projection = Projection(settings.count("cnn_feat_dim"), encoder.dim)
        names = {"linear.weight": "img_dec.weight", "linear.bias": "img_dec.bias"}
        _fill(checkpoint, state, projection, names, mapped, "projection")
    unknown = sorted(set(state) - set(LEFT_OUT))
    if unknown:
        raise DataError(f"{checkpoint.file}: state_dict holds {unknown[0]}, which a {name} encoder of its params does not have")
    left_out = {one: LEFT_OUT.get(one, "unknown to this project") for one in (*state, *checkpoint.others)}
    return Released(name, encoder.eval(), class_embedding, projection, mapped, left_out)


def _name(settings: Settings) -> str:
    """Return `spa_enc_type`, or `GEO_PRIOR` for the params of its trainer."""
    if "spa_enc_type" not in settings.params and {"num_feats", "loc_encode"} <= set(settings.params):
        return GEO_PRIOR
    return settings.take("spa_enc_type", "the name of an encoder", lambda value: value if isinstance(value, str) else None)


def _width(config: Config) -> int:
    """Return the width of the encoding that a config describes, that of its time included."""
    encoding, time = dict(config["encoding"]), config.get("time")
    with global_torch_stream(0, "released"):
        of_place = ENCODINGS[encoding.pop("name")](**encoding).dim
    return of_place + (CosSin().dim if time else 0)


def ffn_entries(config: Config, width: int) -> list[Entry]:
    """Return the tensors of a released FFN on ``width`` features, the first layer's weight first."""
    network, stem = config["network"], "spa_enc.ffn.layers"
    hidden, layers = network["hidden"], network["hidden_layers"]
    entries: list[Entry] = []
    for i in range(layers + 1):
        dim_in, dim_out = (hidden if i else width), (hidden if i < layers else config["dim"])
        ours = f"network.hidden_layers.{i}" if i < layers else "network.output"
        entries += _linear(f"{stem}.{i}.linear", ours, dim_in, dim_out)
        if network["layer_norm"] and i < layers:
            norm = f"network.norms.{i}"
            entries += [Entry(f"{stem}.{i}.layernorm.{one}", (hidden,), f"{norm}.{one}") for one in ("weight", "bias")]
    return entries


def residual_entries(config: Config, width: int) -> list[Entry]:
    """Return the tensors of a released residual network on ``width`` features."""
    dim = config["dim"]
    entries = _linear("feats.0", "network.input.0", width, dim)
    for i in range(config["network"]["layers"]):
        for theirs, ours in (("w1", 0), ("w2", 3)):
            entries += _linear(f"feats.{i + 2}.{theirs}", f"network.layers.{i}.{ours}", dim, dim)
    return entries


def _linear(theirs: str, ours: str, dim_in: int, dim_out: int) -> list[Entry]:
    return [Entry(f"{theirs}.weight", (dim_out, dim_in), f"{ours}.weight"), Entry(f"{theirs}.bias", (dim_out,), f"{ours}.bias")]


def _distinct(checkpoint: Checkpoint, kind: Kind) -> dict[str, Tensor]:
    """Return the tensors in float32, each under one name.

    A model for pre-training holds its location encoder as `loc_enc`, and parts of it under a second name each; TorchSpatial
    keeps an encoding's own tensors in a module `position_encoder`.
    """
    state: dict[str, Tensor] = {}
    for full, tensor in checkpoint.state.items():
        name = full.removeprefix("loc_enc.").replace("spa_enc.position_encoder.", "spa_enc.")
        if kind.network == "residual":
            name = name.removeprefix("spa_enc.")
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise DataError(f"{checkpoint.file}: {full} holds values that are not finite")
        if name in state and not torch.equal(state[name], tensor.float()):
            raise DataError(f"{checkpoint.file}: {full} differs from the same tensor under its other name, {name}")
        state[name] = tensor.float()
    return state


def _check(checkpoint: Checkpoint, state: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> None:
    if name not in state:
        raise DataError(f"{checkpoint.file}: state_dict lacks {name}, of shape {shape} by its params")
    its_shape = tuple(state[name].shape)
    if its_shape != shape:
        raise DataError(f"{checkpoint.file}: {name} has shape {its_shape}, but {shape} by its params")


def _fill(
    checkpoint: Checkpoint,
    state: dict[str, Tensor],
    module: nn.Module,
    names: Mapping[str, str],
    mapped: dict[str, str],
    at: str,
) -> None:
    """Move tensors of ``state`` into ``module``, whose name is ``at``; ``names`` has their names here and there."""
    own = module.state_dict()
    for ours, theirs in names.items():
        _check(checkpoint, state, theirs, tuple(own[ours].shape))
    module.load_state_dict(own | {ours: state.pop(theirs) for ours, theirs in names.items()})
    mapped |= {f"{at}.{ours}": theirs for ours, theirs in names.items()}
    module.eval()
