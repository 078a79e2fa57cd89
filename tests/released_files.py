"""Files in the released code's format, and what the released network gives, written anew from the documented formulas.

One point at a time, in float64, with lists and numpy: no module of the project takes part.
"""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

POINTS = [(0.0, 0.0), (-180.0, -90.0), (180.0, 90.0), (8.54, 47.37), (-70.65, -33.45), (151.2, -33.9), (179.99, 0.01)]
"""Longitude, latitude."""


def params(kind: str = "gridcell", **changes: Any) -> dict[str, Any]:
    """As argparse and the released trainer leave them, numpy values included."""
    common: dict[str, Any] = {
        "dataset": "inat_2018",
        "device": "cuda:0",
        "model_dir": "../models/",
        "spa_enc_type": kind,
        "frequency_num": 6,
        "max_radius": 360.0,
        "min_radius": 0.1,
        "freq_init": "geometric",
        "num_hidden_layer": 1,
        "hidden_dim": 11,
        "num_filts": 5,
        "num_classes": np.int64(3),
        "num_users": 2,
        "cnn_feat_dim": 7,
        "spa_f_act": "leakyrelu",
        "use_layn": True,
        "skip_connection": True,
        "dropout": 0.5,
        "loc_encode": "encode_cos_sin",
        "use_date_feats": False,
        "map_range": [-180.0, 180.0, -90.0, 90.0],
        "rbf_kernal_size": 1.5,
        "unsuper_loss": "contsoftmax",
        "rbf_anchor_pt_ids": None,
        "lr": np.float64(0.001),
    }
    if "sphere" in kind.lower() or kind == "dft":
        common |= {"min_radius": 0.01, "max_radius": 1.0}
    if kind == "rff":  # not in the released params: here for `features`, and `state_dict` writes them
        rng = np.random.default_rng(7)
        n = changes.get("frequency_num", common["frequency_num"])
        common |= {"dirvec": rng.normal(size=(2, n)).astype("float32"), "shift": rng.uniform(0, 6, n).astype("float32")}
    return common | changes


def width(of: dict[str, Any]) -> int:
    return len(features(of, 0.0, 0.0))


def features(of: dict[str, Any], lon: float, lat: float) -> list[float]:
    """What the released encoder `spa_enc_type` feeds its network."""
    kind, n = of["spa_enc_type"], of["frequency_num"]
    step = math.log(of["max_radius"] / of["min_radius"]) / (n - 1)
    frequencies = [1 / (of["min_radius"] * math.exp(k * step)) for k in range(n)]
    if kind in ("gridcell", "gridcellnorm", "Space2Vec-grid"):
        return [wave(c * f) for c in (lon, lat) for f in frequencies for wave in (math.sin, math.cos)]
    if kind in ("geo_net", "wrap", "geo_net_fft", "wrap_ffn"):
        x, y = math.pi * lon / 180, math.pi * lat / 90
        return [math.sin(x), math.sin(y), math.cos(x), math.cos(y)]
    if kind in ("theory", "theorynorm", "Space2Vec-theory"):
        if kind == "theorynorm":
            lon, lat = math.radians(lon), math.radians(lat)
        turns = [(math.cos(a), math.sin(a)) for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
        return [wave((u * lon + v * lat) * f) for f in frequencies for u, v in turns for wave in (math.sin, math.cos)]
    if kind in ("naive", "rff"):
        west, east, south, north = of["map_range"]
        point = (2 * (lon - west) / (east - west) - 1, 2 * (lat - south) / (north - south) - 1)
        if kind == "naive":
            return list(point)
        rows = zip(*of["dirvec"], of["shift"], strict=True)
        return [math.sqrt(2 / n) * math.cos(point[0] * u + point[1] * v + b) for u, v, b in rows]
    la, ph = math.radians(lon), math.radians(lat)
    unit = (math.cos(ph) * math.cos(la), math.cos(ph) * math.sin(la), math.sin(ph))
    if kind == "xyz":
        return list(unit)
    if kind == "nerf":
        return [wave(math.pi * 2**k * c) for wave in (math.sin, math.cos) for c in unit for k in range(n)]
    sin, cos, out = math.sin, math.cos, []
    if kind == "dft":
        east_west = [wave(la * f) for wave in (sin, cos) for f in frequencies]
        out = [a * b for a in east_west for b in [wave(ph * f) for wave in (sin, cos) for f in frequencies]]
    for f in frequencies:
        p, l = ph * f, la * f  # noqa: E741
        single = [sin(p), cos(p), sin(l), cos(l)]
        mixed = [cos(p) * cos(la), cos(ph) * cos(l), cos(p) * sin(la), cos(ph) * sin(l)]
        out += {
            "sphere": [sin(p), cos(p) * cos(l), cos(p) * sin(l)],
            "Sphere2Vec-sphereC": [sin(p), cos(p) * cos(l), cos(p) * sin(l)],
            "spheregrid": [*single, cos(p) * cos(l), cos(p) * sin(l)],
            "Sphere2Vec-sphereC+": [*single, cos(p) * cos(l), cos(p) * sin(l)],
            "spheremixscale": [sin(p), *mixed],
            "Sphere2Vec-sphereM": [sin(p), *mixed],
            "spheregridmixscale": [*single, *mixed],
            "dft": single,
        }[kind]
    return out


def activate(name: str, x: np.ndarray) -> np.ndarray:
    each = {
        "relu": lambda v: max(v, 0.0),
        "leakyrelu": lambda v: v if v > 0 else 0.2 * v,
        "gelu": lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))),
        "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
        "tanh": math.tanh,
    }[name]
    return np.array([each(v) for v in x])


def embedding(of: dict[str, Any], state: dict[str, torch.Tensor], x: list[float]) -> np.ndarray:
    """The released network on one point's features, without dropout."""
    weights = {name.removeprefix("loc_enc."): tensor.double().numpy() for name, tensor in state.items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    y = np.array(x)
    if "feats.0.weight" in weights:
        y = np.maximum(linear("feats.0", y), 0)
        for layer in (2, 3, 4, 5):
            inner = np.maximum(linear(f"feats.{layer}.w1", y), 0)
            y = y + np.maximum(linear(f"feats.{layer}.w2", inner), 0)
        return y
    last = max(of["num_hidden_layer"], 0)
    for i in range(last + 1):
        stem = f"spa_enc.ffn.layers.{i}"
        z = activate(of["spa_f_act"], linear(f"{stem}.linear", y))
        if i < last and of["skip_connection"] and len(z) == len(y):
            z = z + y
        if i < last and of["use_layn"]:
            z = (z - z.mean()) / np.sqrt(z.var() + 1e-5)
            z = z * weights[f"{stem}.layernorm.weight"] + weights[f"{stem}.layernorm.bias"]
        y = z
    return y


def scores(state: dict[str, torch.Tensor], emb: np.ndarray) -> np.ndarray:
    """The released classifier's sigmoid scores, without bias."""
    return 1 / (1 + np.exp(-(state["class_emb.weight"].double().numpy() @ emb)))


def state_dict(of: dict[str, Any], *, seed: int = 0, layer_norm_near: float = 1.0) -> OrderedDict[str, torch.Tensor]:
    """Random tensors under the released names; those with two names are one tensor, as in a saved module."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 1 / math.sqrt(shape[-1]), shape)).float()

    dim, hidden, n_in = of["num_filts"], of["hidden_dim"], width(of)
    residual = of["spa_enc_type"] in ("geo_net", "wrap")
    inner: dict[str, torch.Tensor] = {}

    def linear(name: str, dim_in: int, dim_out: int) -> None:
        inner[f"{name}.weight"], inner[f"{name}.bias"] = draw(dim_out, dim_in), draw(dim_out)

    if residual:
        linear("feats.0", n_in, dim)
        for layer in (2, 3, 4, 5):
            linear(f"feats.{layer}.w1", dim, dim)
            linear(f"feats.{layer}.w2", dim, dim)
    else:
        widths = [n_in, *[hidden] * max(of["num_hidden_layer"], 0), dim]
        for i in range(len(widths) - 1):
            linear(f"spa_enc.ffn.layers.{i}.linear", widths[i], widths[i + 1])
            if i < len(widths) - 2 and of["use_layn"]:
                inner[f"spa_enc.ffn.layers.{i}.layernorm.weight"] = layer_norm_near + draw(hidden)
                inner[f"spa_enc.ffn.layers.{i}.layernorm.bias"] = draw(hidden)
    if of["spa_enc_type"] == "rff":
        inner |= {f"spa_enc.{one}": torch.from_numpy(of[one]) for one in ("dirvec", "shift")}
    heads = {"class_emb.weight": draw(int(of["num_classes"]), dim), "user_emb.weight": draw(of["num_users"], dim)}
    if of["unsuper_loss"] == "none":
        return OrderedDict(heads | inner)
    state = OrderedDict({f"loc_enc.{name}": tensor for name, tensor in (heads | inner).items()})
    state |= {f"spa_enc.{name}": tensor for name, tensor in (heads | inner).items()} if residual else inner
    state |= heads
    k = of["cnn_feat_dim"]
    if of["unsuper_loss"] == "l2regress":
        state |= {"loc_dec.weight": draw(k, dim), "loc_dec.bias": draw(k)}
    else:
        state |= {"img_dec.weight": draw(dim, k), "img_dec.bias": draw(dim)}
    return state


def checkpoint(of: dict[str, Any], state: dict[str, torch.Tensor] | None = None, *, seed: int = 0) -> dict[str, Any]:
    """The dictionary that the released trainer saves, with an Adam state."""
    state = state_dict(of, seed=seed) if state is None else state
    weights = [torch.nn.Parameter(tensor.clone()) for tensor in state.values()]
    optimizer = torch.optim.Adam(weights, lr=float(of["lr"]))
    sum((weight**2).sum() for weight in weights).backward()
    optimizer.step()
    return {"epoch": 31, "state_dict": state, "optimizer": optimizer.state_dict(), "params": of}


def write(file: Path, of: dict[str, Any], state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """Save a checkpoint; answers its tensors."""
    content = checkpoint(of, state)
    torch.save(content, file)
    tensors: dict[str, torch.Tensor] = content["state_dict"]
    return tensors
