"""The photo network is timm's ViT with a pooler, under the names of ViTModel."""

import pytest
import timm
import torch

from cspops.gair.photo_vit import PhotoVit

NAMES = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
}
SIZES = {"px": 32, "patch": 8, "dim": 12, "depth": 2, "heads": 3, "hidden": 20}


def as_timm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    out = {}
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        layer = ""
        if stem.startswith("encoder.layer."):
            number, _, stem = stem.removeprefix("encoder.layer.").partition(".")
            layer = f"blocks.{number}."
        if stem == "attention.attention.query":
            parts = [state[name.replace("query", one)] for one in ("query", "key", "value")]
            out[f"{layer}attn.qkv.{kind}"] = torch.cat(parts)
        elif name in NAMES:
            out[NAMES[name]] = tensor
        elif stem in NAMES:
            out[f"{layer}{NAMES[stem]}.{kind}"] = tensor
    return out


def test_is_timms_vit_with_a_pooler() -> None:
    torch.manual_seed(0)
    network = PhotoVit(**SIZES).double().eval()
    for weight in network.parameters():
        weight.data = torch.randn_like(weight) * 0.3
    other = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=12, depth=2, num_heads=3, mlp_ratio=20 / 12, num_classes=0, global_pool="token"
    ).double()
    other.load_state_dict(as_timm(network.state_dict()))
    for module in other.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-12
    pixels = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    state = network.state_dict()
    expected = (other.eval()(pixels) @ state["pooler.dense.weight"].T + state["pooler.dense.bias"]).tanh()
    torch.testing.assert_close(network(pixels), expected, rtol=1e-9, atol=1e-9)


def test_attention_is_dropped_in_training_alone() -> None:
    network = PhotoVit(**SIZES, attention_dropout=0.5)
    for weight in network.parameters():
        weight.data = torch.randn_like(weight)
    pixels = torch.randn(2, 3, 32, 32)
    assert not torch.equal(network.train()(pixels), network(pixels))
    assert torch.equal(network.eval()(pixels), network(pixels))


@pytest.mark.parametrize("shape", [(1, 3, 32, 16), (1, 4, 32, 32), (3, 32, 32)])
def test_photos_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pixels has shape \(.*\), not \(n, 3, 32, 32\)"):
        PhotoVit(**SIZES)(torch.zeros(shape))


@pytest.mark.parametrize(("sizes", "said"), [({"px": 30}, "not made of patches"), ({"heads": 5}, "not 5 heads")])
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PhotoVit(**(SIZES | sizes))
