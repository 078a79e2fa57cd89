"""Files in the layout of the released GAIR checkpoint, written anew from what is known of it."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

Shape = tuple[int, ...]
SMALL = {"dim": 48, "depth": 2, "hidden": 20, "bands": 3, "px": 16, "photo_px": 32, "features": 4, "capsule": 5, "queue": 6}
"""Sizes: 48 is a multiple of the 16 and the 12 heads."""
FULL = {"dim": 768, "depth": 12, "hidden": 3072, "bands": 10, "px": 96, "photo_px": 224, "features": 256, "capsule": 1024}
FULL |= {"queue": 4096}


def linear(name: str, dim_in: int, dim_out: int, *, bias: bool = True) -> dict[str, Shape]:
    return {f"{name}.weight": (dim_out, dim_in)} | ({f"{name}.bias": (dim_out,)} if bias else {})


def norm(name: str, dim: int) -> dict[str, Shape]:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def overhead(sizes: dict[str, int]) -> dict[str, Shape]:
    d = sizes["dim"]
    shapes = linear("rs_encoder.s2_encoder.linear_input", sizes["bands"] * 64, d)
    for layer in range(sizes["depth"]):
        at = f"rs_encoder.s2_encoder.transformer.layers.{layer}"
        shapes |= norm(f"{at}.0.input_norm", d) | norm(f"{at}.1.input_norm", d)
        shapes |= linear(f"{at}.0.to_qkv", d, 3 * d, bias=False) | linear(f"{at}.0.to_out", d, d)
        shapes |= linear(f"{at}.1.net.0", d, 4 * d) | linear(f"{at}.1.net.3", 4 * d, d)
    return shapes


def photo(sizes: dict[str, int]) -> dict[str, Shape]:
    d, hidden = sizes["dim"], sizes["hidden"]
    at = "sv_encoder.embeddings"
    shapes = {f"{at}.cls_token": (1, 1, d), f"{at}.position_embeddings": (1, 1 + (sizes["photo_px"] // 16) ** 2, d)}
    shapes |= {f"{at}.patch_embeddings.projection.weight": (d, 3, 16, 16), f"{at}.patch_embeddings.projection.bias": (d,)}
    for layer in range(sizes["depth"]):
        at = f"sv_encoder.encoder.layer.{layer}"
        for one in ("query", "key", "value"):
            shapes |= linear(f"{at}.attention.attention.{one}", d, d)
        shapes |= linear(f"{at}.attention.output.dense", d, d)
        shapes |= linear(f"{at}.intermediate.dense", d, hidden) | linear(f"{at}.output.dense", hidden, d)
        shapes |= norm(f"{at}.layernorm_before", d) | norm(f"{at}.layernorm_after", d)
    return shapes | norm("sv_encoder.layernorm", d) | linear("sv_encoder.pooler.dense", d, d)


def location(sizes: dict[str, int]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for scale in range(3):
        at, hidden = f"location_encoder.LocEnc{scale}", sizes["capsule"]
        shapes[f"{at}.capsule.0.b"] = (sizes["features"], 2)
        for number, width in ((1, 2 * sizes["features"]), (3, hidden), (5, hidden)):
            shapes |= linear(f"{at}.capsule.{number}", width, hidden)
        shapes |= linear(f"{at}.head.0", hidden, sizes["dim"])
    return shapes


def used(sizes: dict[str, int]) -> dict[str, Shape]:
    d = sizes["dim"]
    shapes = overhead(sizes) | photo(sizes) | location(sizes) | linear("imnet", 9 * d + 2, d)
    for one in ("radar_proj", "optical_proj", "location_proj"):
        shapes |= linear(one, d, d)
    return shapes


def unused(sizes: dict[str, int]) -> dict[str, Shape]:
    """Parameters that the released code has and does not use."""
    d = sizes["dim"]
    shapes: dict[str, Shape] = {"query_feature": (1, 1, d), "rs_patch_pos_encoding": (1, (sizes["px"] // 8) ** 2, d)}
    shapes |= {"logit_scale": ()} | norm("rs_encoder.layer_norm", d) | linear("rs_encoder.head", d, 10)
    for layer in range(2):
        at = f"nerf_fn.layers.{layer}"
        shapes |= (
            norm(f"{at}.0.input_norm", d) | linear(f"{at}.0.create_qkv", d, 3 * d, bias=False) | linear(f"{at}.0.out", d, d)
        )
        shapes |= norm(f"{at}.1.input_norm", d) | linear(f"{at}.1.net.0", d, 4 * d) | linear(f"{at}.1.net.2", 4 * d, d)
    return shapes | norm("nerf_fn.norm_out", d)


def buffers(sizes: dict[str, int]) -> dict[str, Shape]:
    return {"queue_for_location": (2, sizes["queue"]), "queue_ptr_location": (1,)}


def state_dict(sizes: dict[str, int] = SMALL, *, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    shapes = used(sizes) | unused(sizes) | buffers(sizes)
    state = {name: 0.2 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    return state | {"queue_ptr_location": torch.zeros(1, dtype=torch.long)}


def write(file: Path, state: dict[str, torch.Tensor] | None = None, **others: Any) -> dict[str, torch.Tensor]:
    """Save a checkpoint as the trainer does; answers its tensors."""
    tensors = state_dict() if state is None else state
    content: dict[str, Any] = {
        "model": tensors,
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 155,
        "scaler": {"scale": 65536.0},
    }
    content["args"] = Namespace(batch_size=256)
    torch.save(content | others, file)
    return tensors
