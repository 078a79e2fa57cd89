"""F*(I) batch by batch, and in how many bits."""

import pytest
import torch

from cspops.models import backbones
from cspops.models.backbones import build_image_network
from cspops.models.image_features import features_of, image_features

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0).eval()


def batches(n: int) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return [torch.randint(256, (size, 32, 32, 3), dtype=torch.uint8, generator=draws) for size in range(1, n + 1)]


def test_on_the_cpu_they_are_the_networks_own_answers_and_no_batch_is_taken_ahead(network):
    taken = []

    def source():
        for batch in batches(3):
            taken.append(len(batch))
            yield batch

    for done, (batch, answer) in enumerate(zip(batches(3), image_features(network, source(), device=CPU), strict=True)):
        assert taken == [1, 2, 3][: done + 1]
        assert answer.dtype == torch.float16 and not answer.requires_grad
        assert torch.equal(answer, network(batch).detach().half())


def test_no_batches_no_features(network):
    assert list(image_features(network, [], device=CPU)) == []


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_what_it_has_units_for(monkeypatch, native, expected):
    def supported(*, including_emulation):
        assert not including_emulation
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert backbones.half_precision(torch.device("cuda:1")) == expected
    assert backbones.half_precision(CPU) is None
    assert backbones.half_precision(torch.device("mps")) is None


def test_half_precision_rounds_products_and_the_answer_is_in_range(network, monkeypatch):
    """bfloat16 keeps 8 bits. The CPU has it too: features stay within a few per cent, and they are not the same."""
    (batch,) = batches(1)
    whole = features_of(network, batch, CPU).float()
    monkeypatch.setattr(backbones, "half_precision", lambda device: torch.bfloat16)
    half = features_of(network, batch, CPU)
    assert half.dtype == torch.float16
    distance = (half.float() - whole).norm() / whole.norm()
    assert 0 < distance < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_features_in_the_same_order(network):
    device = torch.device("cuda")
    expected = [network(batch).detach() for batch in batches(4)]
    on_gpu = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0).eval().to(device)
    for answer, want in zip(image_features(on_gpu, batches(4), device=device), expected, strict=True):
        assert answer.device == CPU and answer.dtype == torch.float16
        assert (answer.float() - want).norm() / want.norm() < 0.1
