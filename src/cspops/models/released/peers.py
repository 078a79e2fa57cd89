"""Location encoders that other projects publish: SINR, SatCLIP and GeoCLIP, each known by the layout of its file.

| kind    | file                                                    | here                                                |
|---------|---------------------------------------------------------|-----------------------------------------------------|
| sinr    | `params` with `input_enc`, `state_dict` with `feats.`   | `wrap`, `residual`, and the class embeddings        |
| satclip | Lightning's `hyper_parameters`, `state_dict` with `nnet`| `spherical_harmonics`, `siren`                      |
| geoclip | tensors `LocEnc0.capsule.` and so on                    | `equal_earth_rff`, an `ffn` without skips per scale |
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cspops.errors import DataError
from cspops.models.checkpoint import Config
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import LocationEncoder
from cspops.models.released.kinds import Settings
from cspops.models.released.reading import unwrapped
from cspops.models.released.rebuilding import Entry, Released, residual_entries
from cspops.models.torch_files import is_plain, read_torch_file, require_file, table_of_tensors, trainer_globals
from cspops.seeds import global_torch_stream
from cspops.shapes import Tensor

FORMAT = "the published file of SINR (model.pt), SatCLIP (a .ckpt of Lightning) or GeoCLIP (location_encoder_weights.pth)"
NOT_HERE = "a part of its image network or of its training, which is not needed for places"


@dataclass(frozen=True)
class PeerFile:
    """A file of one of these layouts."""

    kind: str
    file: Path
    params: Mapping[str, Any]
    """The settings that it holds; GeoCLIP's has none."""
    state: dict[str, Tensor]
    """Its tensors; those of the location encoder by the names that the project's code gives them within it."""
    others: tuple[str, ...]
    """All other names in it."""
    epoch: int | None

    @property
    def settings(self) -> Settings:
        """The settings, for messages by the key that they have in the file."""
        return Settings(self.file, self.params, where=LAYOUTS[self.kind][0])


def read_peer(file: Path) -> PeerFile | None:
    """Read a file without running anything that it holds; None where its layout is none of these.

    Raises:
        DataError: the file is missing, or no file of torch.save.
    """
    require_file(file, hint=FORMAT)
    content = read_torch_file(file, hint=FORMAT, allowed=trainer_globals())
    if not isinstance(content, Mapping):
        return None
    table = {unwrapped(str(name)): one for name, one in table_of_tensors(content).items()}
    for kind, (settings, stem) in LAYOUTS.items():
        params = content.get(settings, {}) if settings else {}
        own = {match[1]: name for name in table if (match := re.fullmatch(stem, name))}
        if own and isinstance(params, Mapping) and (kind != "sinr" or "input_enc" in params):
            state = {inside: table[name] for inside, name in own.items()}
            if not all(map(is_plain, state.values())):
                raise DataError(f"{file}: the location encoder of {kind} holds what are no tensors of numbers", hint=FORMAT)
            epoch = content.get("epoch")
            others = tuple(name for name in table if name not in own.values())
            return PeerFile(kind, file, dict(params), state, others, epoch if isinstance(epoch, int) else None)
    return None


LAYOUTS = {
    "sinr": ("params", r"(feats\..+|class_emb\.weight)"),
    "satclip": ("hyper_parameters", r"(?:location\.)?(nnet\.(?:layers\.\d+|last_layer)\.(?:weight|bias))"),
    "geoclip": ("", r"(?:location_encoder\.)?(LocEnc\d+\.(?:capsule|head)\..+)"),
}
"""By kind: the key of the settings, and the names of the location encoder's tensors."""


def rebuild_peer(peer: PeerFile) -> Released:
    """Return modules with the same output as the published network in evaluation, up to rounding: here it is float32.

    Raises:
        DataError: settings that nothing here equals, or tensors that do not fit them; the message names file and entry.
    """
    config, entries, factor = {"sinr": _sinr, "satclip": _satclip, "geoclip": _geoclip}[peer.kind](peer)
    weights = {}
    for entry in entries:
        tensor = peer.state.get(entry.theirs)
        if tensor is None:
            raise DataError(f"{peer.file}: the {peer.kind} encoder lacks {entry.theirs}", hint=FORMAT)
        if tuple(tensor.shape) != entry.shape:
            what = f"{entry.theirs} has shape {tuple(tensor.shape)}, but {entry.shape} by the others"
            raise DataError(f"{peer.file}: {what}", hint=FORMAT)
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise DataError(f"{peer.file}: {entry.theirs} holds values that are no numbers", hint=FORMAT)
        weights[entry.ours] = (tensor.double() * factor if entry is entries[0] and factor is not None else tensor).float()
    with global_torch_stream(0, "released"):  # initial weights, all replaced below
        encoder = LocationEncoder(config)
    if peer.kind == "geoclip":
        weights = weights | {"encoding.frequency": _frequencies(peer, len(config["encoding"]["sigmas"]))}
    encoder.load_state_dict(weights, strict=True)
    mapped = {f"encoder.{entry.ours}": entry.theirs for entry in entries}
    class_embedding = None
    if (scores := peer.state.get("class_emb.weight")) is not None and peer.kind == "sinr":
        if scores.ndim != 2 or scores.shape[1] != encoder.dim or not len(scores):
            what = f"class_emb.weight has shape {tuple(scores.shape)}, not (classes, {encoder.dim})"
            raise DataError(f"{peer.file}: {what}", hint=FORMAT)
        if not (scores.is_floating_point() and scores.isfinite().all()):
            raise DataError(f"{peer.file}: class_emb.weight holds values that are no numbers", hint=FORMAT)
        class_embedding = ClassEmbedding(encoder.dim, len(scores)).eval()
        class_embedding.load_state_dict({"linear.weight": scores.float()})
        mapped["class_embedding.linear.weight"] = "class_emb.weight"
    unused = [name for name in peer.state if name not in mapped.values() and not name.endswith("capsule.0.b")]
    left_out = dict.fromkeys(peer.others, NOT_HERE) | dict.fromkeys(unused, "the encoder of its settings has no such part")
    return Released(peer.kind, encoder.eval(), class_embedding, None, mapped, left_out)


Parts = tuple[Config, list[Entry], Tensor | None]
"""Of an encoder: its config, its tensors, and by what the first one's columns are multiplied."""


def _sinr(peer: PeerFile) -> Parts:
    settings = peer.settings
    settings.choice("model", {"ResidualFCNet": True})
    settings.choice("input_enc", {"sin_cos": True})
    config = {
        "encoding": {"name": "wrap"},
        "network": {"name": "residual", "layers": _layers(peer, "depth", least=0), "dropout": 0.5},
        "dim": settings.count("num_filts"),
    }
    return config, residual_entries(config, 4), None


def _layers(peer: PeerFile, key: str, *, least: int = 1) -> int:
    """Return a number of layers, which is none that the file cannot have."""
    count = peer.settings.count(key, least=least)
    if count > len(peer.state):
        raise DataError(
            f"{peer.file}: {peer.settings.where}: {key} is {count}, and there are {len(peer.state)} tensors", hint=FORMAT
        )
    return count


def _satclip(peer: PeerFile) -> Parts:
    settings = peer.settings
    settings.choice("le_type", {"sphericalharmonics": True})
    settings.choice("pe_type", {"siren": True})
    analytic = settings.choice("harmonics_calculation", {"analytic": True, "closed-form": False})
    polynomials, layers = settings.count("legendre_polys"), _layers(peer, "num_hidden_layers")
    hidden, dim = (settings.count(key) for key in ("capacity", "embed_dim"))
    first = peer.state.get("nnet.layers.0.weight")
    if first is None or first.ndim != 2 or first.shape[1] != polynomials**2:
        there = "missing" if first is None else f"of shape {tuple(first.shape)}"
        what = f"{polynomials}^2 columns by legendre_polys"
        raise DataError(f"{peer.file}: nnet.layers.0.weight is {there}, and should have {what}", hint=FORMAT)
    degree = polynomials - 1
    network = {"hidden_layers": layers, "hidden": hidden, "w0": 30.0, "w0_hidden": 1.0, "dropout": 0.5}
    config = {
        "encoding": {"name": "spherical_harmonics", "degree": degree},
        "network": {"name": "siren", **network},
        "dim": dim,
    }
    widths = [(degree + 1) ** 2, *[hidden] * layers]
    entries = []
    for i, (dim_in, dim_out) in enumerate(zip(widths, [*widths[1:], dim], strict=True)):
        theirs, ours = (
            (f"nnet.layers.{i}", f"network.hidden_layers.{i}") if i < layers else ("nnet.last_layer", "network.output")
        )
        entries += [
            Entry(f"{theirs}.weight", (dim_out, dim_in), f"{ours}.weight"),
            Entry(f"{theirs}.bias", (dim_out,), f"{ours}.bias"),
        ]
    return config, entries, _harmonics(degree, analytic=analytic)


def _harmonics(degree: int, *, analytic: bool) -> Tensor:
    """Return SatCLIP's harmonics over those here, by column: see `encodings.spherical.SphericalHarmonics`."""
    factors = [
        (-1.0) ** (n if analytic else n + m) * (math.pi if analytic and m == 0 else 1.0)
        for n in range(degree + 1)
        for m in range(-n, n + 1)
    ]
    return torch.tensor(factors, dtype=torch.float64)


def _geoclip(peer: PeerFile) -> Parts:
    """Return the capsules as one encoder; their sigmas, which the file does not hold, are those of its frequencies."""
    scales = len({name.partition(".")[0] for name in peer.state})
    frequencies = _frequencies(peer, scales)
    first, head = (peer.state.get(f"LocEnc0.{name}.weight") for name in ("capsule.1", "head.0"))
    if first is None or head is None or first.ndim != 2 or head.ndim != 2:
        raise DataError(
            f"{peer.file}: the geoclip encoder lacks LocEnc0.capsule.1.weight or LocEnc0.head.0.weight", hint=FORMAT
        )
    hidden, width, dim = len(first), 2 * frequencies.shape[1], len(head)
    network = {"name": "ffn", "hidden_layers": 3, "hidden": hidden, "activation": "relu", "dropout": 0.0}
    config = {
        "encoding": {
            "name": "equal_earth_rff",
            "features": width // 2,
            "sigmas": [float(f"{b.std():.3g}") for b in frequencies],
        },
        "network": network | {"layer_norm": False, "output_activation": False, "skip": False},
        "dim": dim,
    }
    entries = []
    for i in range(scales):
        here = "network." + (f"parts.{i}." if scales > 1 else "")
        for at, (layer, dim_out) in enumerate(
            (("capsule.1", hidden), ("capsule.3", hidden), ("capsule.5", hidden), ("head.0", dim))
        ):
            ours = f"{here}hidden_layers.{at}" if at < 3 else f"{here}output"
            dim_in, theirs = (hidden if at else width), f"LocEnc{i}.{layer}"
            entries += [
                Entry(f"{theirs}.weight", (dim_out, dim_in), f"{ours}.weight"),
                Entry(f"{theirs}.bias", (dim_out,), f"{ours}.bias"),
            ]
    return config, entries, None


def _frequencies(peer: PeerFile, scales: int) -> Tensor:
    """Return B of all capsules, (scales, s, 2)."""
    found = [peer.state.get(f"LocEnc{i}.capsule.0.b") for i in range(scales)]
    if (
        any(b is None or b.ndim != 2 or b.shape[1] != 2 or len(b) < 2 for b in found)
        or len({len(b) for b in found if b is not None}) != 1
    ):
        raise DataError(
            f"{peer.file}: the geoclip encoder lacks one of LocEnc0.capsule.0.b to LocEnc{scales - 1}.capsule.0.b", hint=FORMAT
        )
    all_ = torch.stack([b.double() for b in found if b is not None])
    if not (all_.isfinite().all() and found[0] is not None and found[0].is_floating_point()):
        raise DataError(f"{peer.file}: a capsule.0.b holds values that are no numbers", hint=FORMAT)
    return all_
