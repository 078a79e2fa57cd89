"""Encoders that SINR, SatCLIP and GeoCLIP publish, against their formulas in numpy."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import factorial, lpmv

from cspops.errors import DataError
from cspops.models.released import read_peer, rebuild_peer

LONLAT = np.array([[8.5, 47.4], [-179.9, -60.0], [0.0, 0.0], [120.0, 89.0]])
Weights = dict[str, torch.Tensor]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed + sum(shape)).normal(0, 1 / math.sqrt(shape[-1]), shape))


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}.weight"].double().numpy().T + weights[f"{name}.bias"].double().numpy()


def layer(name: str, dim_in: int, dim_out: int) -> Weights:
    return {f"{name}.weight": draw(dim_out, dim_in), f"{name}.bias": draw(dim_out, seed=1) / 5}


def sinr() -> tuple[Weights, dict[str, Any]]:
    weights = layer("feats.0", 4, 6)
    for i in (2, 3):
        weights |= layer(f"feats.{i}.w1", 6, 6) | layer(f"feats.{i}.w2", 6, 6)
    weights["class_emb.weight"] = draw(9, 6)
    params = {"model": "ResidualFCNet", "input_enc": "sin_cos", "depth": 2, "num_filts": 6, "num_classes": 9}
    return weights, params | {"class_to_taxa": [7, 8]}


def sinr_embedding(weights: Weights, lonlat: np.ndarray) -> np.ndarray:
    x = lonlat / [180, 90] * math.pi
    y = np.maximum(linear(weights, "feats.0", np.concatenate((np.sin(x), np.cos(x)), 1)), 0)
    for i in (2, 3):
        inner = np.maximum(linear(weights, f"feats.{i}.w1", y), 0)
        y = y + np.maximum(linear(weights, f"feats.{i}.w2", inner), 0)
    return y


def satclip(harmonics: str = "analytic", polynomials: int = 5) -> tuple[Weights, dict[str, Any]]:
    weights = layer("nnet.layers.0", polynomials**2, 7) | layer("nnet.layers.1", 7, 7) | layer("nnet.last_layer", 7, 6)
    weights["nnet.layers.0.weight"] = weights["nnet.layers.0.weight"] / 30
    about = {"le_type": "sphericalharmonics", "pe_type": "siren", "harmonics_calculation": harmonics}
    return weights, about | {"legendre_polys": polynomials, "capacity": 7, "num_hidden_layers": 2, "embed_dim": 6}


def satclip_harmonics(lonlat: np.ndarray, polynomials: int) -> np.ndarray:
    """The published analytic columns: the pole is at 90 S and the meridian at 180, and those with m = 0 have a factor of pi."""
    phi, cos = np.deg2rad(lonlat[:, 0] + 180), np.cos(np.deg2rad(lonlat[:, 1] + 90))
    columns = []
    for n in range(polynomials):
        for m in range(-n, n + 1):
            k = abs(m)
            norm = math.sqrt((2 * n + 1) / (4 * math.pi) * factorial(n - k) / factorial(n + k))
            p = norm * lpmv(k, n, cos)  # with the phase of Condon and Shortley, which (-1)^m takes away
            wave = math.pi if m == 0 else (-1) ** k * math.sqrt(2) * (np.cos(k * phi) if m > 0 else np.sin(k * phi))
            columns.append(p * wave)
    return np.stack(columns, 1)


def satclip_embedding(weights: Weights, features: np.ndarray) -> np.ndarray:
    x = np.sin(30 * linear(weights, "nnet.layers.0", features))
    x = np.sin(linear(weights, "nnet.layers.1", x))
    return linear(weights, "nnet.last_layer", x)


def geoclip() -> Weights:
    weights: Weights = {}
    for i, sigma in enumerate((1.0, 16.0, 256.0)):
        weights[f"LocEnc{i}.capsule.0.b"] = sigma * draw(5, 2, seed=i) * math.sqrt(2)
        for at, (a, b) in {"capsule.1": (10, 8), "capsule.3": (8, 8), "capsule.5": (8, 8), "head.0": (8, 6)}.items():
            weights |= layer(f"LocEnc{i}.{at}", a, b)
    return weights


def geoclip_embedding(weights: Weights, lonlat: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(lonlat).T
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    t = np.arcsin(math.sqrt(3) / 2 * np.sin(lat))
    x = 2 * math.sqrt(3) * lon * np.cos(t) / (3 * (9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1))
    p = np.stack((x, a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t), 1) * 66.50336 / 180
    total = np.zeros(())
    for i in range(3):
        phase = 2 * math.pi * p @ weights[f"LocEnc{i}.capsule.0.b"].double().numpy().T
        y = np.concatenate((np.cos(phase), np.sin(phase)), 1)
        for at in ("capsule.1", "capsule.3", "capsule.5"):
            y = np.maximum(linear(weights, f"LocEnc{i}.{at}", y), 0)
        total = total + linear(weights, f"LocEnc{i}.head.0", y)
    return total


def write(file: Path, kind: str, weights: Weights, params: dict[str, Any]) -> Path:
    """As each project writes it; SatCLIP's module holds its encoder twice, beside an image network."""
    content: dict[str, Any]
    if kind == "sinr":
        content = {"state_dict": {name: one.float() for name, one in weights.items()}, "params": params}
    elif kind == "satclip":
        twice = {f"model.{stem}{name}": one for stem in ("", "location.") for name, one in weights.items()}
        image = {"model.visual.conv1.weight": torch.ones(1), "model.logit_scale": torch.ones(())}
        content = {"state_dict": twice | image, "hyper_parameters": params, "epoch": 3, "pytorch-lightning_version": "2"}
    else:
        content = {name: one.float() for name, one in weights.items()}
    torch.save(content, file)
    return file


def test_sinr_is_its_formula(tmp_path: Path) -> None:
    weights, params = sinr()
    peer = read_peer(write(tmp_path / "model.pt", "sinr", weights, params))
    assert peer is not None and peer.kind == "sinr"
    made = rebuild_peer(peer)
    assert made.class_embedding is not None and not made.left_out
    expected = sinr_embedding(weights, LONLAT)
    embedding = made.encoder(torch.from_numpy(LONLAT))
    np.testing.assert_allclose(embedding.detach().numpy(), expected, atol=1e-5)
    scores = made.class_embedding(embedding).detach().numpy()
    np.testing.assert_allclose(scores, expected @ weights["class_emb.weight"].numpy().T, atol=1e-5)


@pytest.mark.parametrize(("harmonics", "polynomials"), [("analytic", 5), ("analytic", 10), ("closed-form", 4)])
def test_satclip_is_its_formula(tmp_path: Path, harmonics: str, polynomials: int) -> None:
    weights, params = satclip(harmonics, polynomials)
    peer = read_peer(write(tmp_path / "satclip.ckpt", "satclip", weights, params))
    assert peer is not None and (peer.kind, peer.epoch) == ("satclip", 3)
    made = rebuild_peer(peer)
    assert {"visual.conv1.weight", "logit_scale"} <= set(made.left_out)
    features = satclip_harmonics(LONLAT, polynomials)
    if harmonics == "closed-form":  # (-1)^m of the others, and no factor of pi
        order = np.array([m for n in range(polynomials) for m in range(-n, n + 1)])
        features = features * np.where(order == 0, 1 / math.pi, (-1.0) ** order)
    embedding = made.encoder(torch.from_numpy(LONLAT)).detach().numpy()
    np.testing.assert_allclose(embedding, satclip_embedding(weights, features), atol=2e-5)


@pytest.mark.parametrize("stem", ["", "location_encoder."])
def test_geoclip_is_its_formula(tmp_path: Path, stem: str) -> None:
    weights = geoclip()
    file = write(tmp_path / "w.pth", "geoclip", {stem + name: one for name, one in weights.items()}, {})
    peer = read_peer(file)
    assert peer is not None and peer.kind == "geoclip"
    embedding = rebuild_peer(peer).encoder(torch.from_numpy(LONLAT)).detach().numpy()
    rounded = {name: one.float() for name, one in weights.items()}
    np.testing.assert_allclose(embedding, geoclip_embedding(rounded, LONLAT), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("sinr", {"params": {"input_enc": "env"}}, "model.pt: params: input_enc is 'env', not one of sin_cos"),
        ("sinr", {"params": {"depth": "4"}}, "depth is '4', not a whole number"),
        ("sinr", {"params": {"num_filts": 7}}, r"feats.0.weight has shape \(6, 4\), but \(7, 4\)"),
        ("sinr", {"lacks": "feats.3.w2.bias"}, "lacks feats.3.w2.bias"),
        (
            "satclip",
            {"params": {"le_type": "grid"}},
            "hyper_parameters: le_type is 'grid', not one of sphericalharmonics",
        ),
        ("satclip", {"params": {"legendre_polys": 9}}, r"of shape \(7, 25\), and should have 9\^2 columns"),
        ("satclip", {"params": {"legendre_polys": 10**6}}, r"should have 1000000\^2 columns"),
        (
            "satclip",
            {"params": {"num_hidden_layers": 10**6}},
            "hyper_parameters: num_hidden_layers is 1000000, and there",
        ),
        ("satclip", {"without": "capacity"}, "model.pt: hyper_parameters lacks capacity"),
        ("sinr", {"without": "depth"}, "model.pt: params lacks depth"),
        ("sinr", {"params": {"depth": 10**6}}, "depth is 1000000, and there are"),
        ("geoclip", {"nan": "LocEnc1.capsule.0.b"}, "a capsule.0.b holds values that are no numbers"),
        ("geoclip", {"lacks": "LocEnc1.capsule.0.b"}, "lacks one of LocEnc0.capsule.0.b to LocEnc2.capsule.0.b"),
        ("geoclip", {"lacks": "LocEnc0.head.0.weight"}, "lacks LocEnc0.capsule.1.weight or LocEnc0.head.0.weight"),
        ("geoclip", {"nan": "LocEnc2.capsule.3.bias"}, "LocEnc2.capsule.3.bias holds values that are no numbers"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, kind: str, change: dict[str, Any], says: str) -> None:
    weights, params = {"sinr": sinr, "satclip": satclip, "geoclip": lambda: (geoclip(), {})}[kind]()
    weights.pop(change.get("lacks", ""), None)
    params.pop(change.get("without", ""), None)
    if "nan" in change:
        weights[change["nan"]][0] = math.nan
    peer = read_peer(write(tmp_path / "model.pt", kind, weights, params | change.get("params", {})))
    assert peer is not None
    with pytest.raises(DataError, match=says):
        rebuild_peer(peer)


def test_other_files_are_none_of_these(tmp_path: Path) -> None:
    for number, content in enumerate(({"a": torch.ones(1)}, [1], {"state_dict": {"feats.0.weight": torch.ones(1)}})):
        torch.save(content, tmp_path / f"{number}.pt")
        assert read_peer(tmp_path / f"{number}.pt") is None
    with pytest.raises(DataError, match="is missing"):
        read_peer(tmp_path / "none.pt")
