"""Products through oneDNN against float64, whatever the machine would choose."""

import pytest
import torch
from torch.nn import functional

from cspops import kernels


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["oneDNN", "plain"])
def route(request, monkeypatch) -> list[object]:
    """Takes the detour for every size, or for none; collects the calls of convolutions."""
    calls: list[object] = []

    def spy(real):
        return lambda *args, **keywords: calls.append(real) or real(*args, **keywords)

    for name in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(functional, name, spy(getattr(functional, name)))
    monkeypatch.setattr(kernels, "LEAST_WORK", 0)
    monkeypatch.setattr(kernels, "_onednn_is_faster", lambda: request.param == "oneDNN")
    yield calls
    assert bool(calls) == (request.param == "oneDNN")


def within_rounding(got: torch.Tensor, a: torch.Tensor, b: torch.Tensor, bias: float = 0.0) -> bool:
    """A float32 sum of i products (and a bias), in any order, is within (i + 1) 2^-23 sum |a||b| of the exact one."""
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs() + bias
    return bool(((got.double() - exact - bias).abs() <= (a.shape[1] + 1) * 2**-23 * size).all())


@pytest.mark.parametrize(("n", "i", "o"), [(1, 1, 1), (5, 3, 7), (64, 24, 48), (130, 257, 65), (256, 128, 512)])
def test_linear_and_its_gradients_are_the_products(route, n, i, o):
    x, weight, g = randn(n, i).requires_grad_(), randn(o, i, seed=1).requires_grad_(), randn(n, o, seed=2)
    bias = torch.full((o,), 0.75, requires_grad=True)
    out = kernels.linear(x, weight, bias)
    out.backward(g)
    assert within_rounding(out.detach(), x.detach(), weight.detach().T, 0.75)
    assert within_rounding(x.grad, g, weight.detach())
    assert within_rounding(weight.grad, g.T, x.detach())
    assert within_rounding(bias.grad[None], torch.ones(1, n), g)


def test_any_leading_axes_and_no_bias(route):
    x, weight = randn(2, 3, 5, 4), randn(6, 4, seed=1)
    out = kernels.linear(x, weight)
    assert out.shape == (2, 3, 5, 6)
    torch.testing.assert_close(out, torch.einsum("abci,oi->abco", x, weight))


def test_strided_operands(route):
    x, weight = randn(8, 9).T[::2], randn(8, 10, seed=1)[:, ::2].T
    torch.testing.assert_close(kernels.linear(x, weight), x @ weight.T)


def test_product_is_mm(route):
    a, b, g = randn(6, 4).requires_grad_(), randn(4, 5, seed=1).requires_grad_(), randn(6, 5, seed=2)
    out = kernels.product(a, b)
    out.backward(g)
    assert within_rounding(out.detach(), a.detach(), b.detach())
    assert within_rounding(a.grad, g, b.detach().T)
    assert within_rounding(b.grad, a.detach().T, g)


@pytest.mark.parametrize("a_lies", ["rows", "columns", "strided"])
@pytest.mark.parametrize("b_lies", ["rows", "columns", "strided"])
def test_operands_may_lie_in_memory_as_they_like(route, a_lies, b_lies):
    lay = {"rows": torch.clone, "columns": lambda x: x.T.clone().T, "strided": lambda x: x.repeat_interleave(2, 1)[:, ::2]}
    a, b = lay[a_lies](randn(9, 10)), lay[b_lies](randn(10, 6, seed=1))
    out = kernels.product(a, b)
    assert out.is_contiguous()
    assert within_rounding(out, a, b)


@pytest.mark.parametrize(
    ("capability", "processor", "mkl", "faster"),
    [
        ("AVX512", "AMD EPYC 9005", None, True),
        ("AVX512", "Intel(R) Xeon(R) Processor", None, False),
        ("AVX2", "AMD EPYC 7003", None, False),
        ("AVX2", "Intel(R) Xeon(R) Processor", "COMPATIBLE", True),
    ],
)
def test_onednn_is_faster_where_mkl_does_not_use_what_the_processor_can(monkeypatch, capability, processor, mkl, faster):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(kernels.numerics, "processor", lambda: processor)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    if mkl:
        monkeypatch.setenv("MKL_CBWR", mkl)
    assert kernels._onednn_is_faster.__wrapped__() == faster


def test_the_layer_has_the_parameters_and_the_answers_of_torchs(route):
    torch.manual_seed(0)
    ours = kernels.Linear(4, 3)
    torch.manual_seed(0)
    theirs = torch.nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    torch.testing.assert_close(ours(randn(7, 4)), theirs(randn(7, 4)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_and_small_products_are_torchs_own(monkeypatch, dtype):
    monkeypatch.setattr(kernels, "_onednn_is_faster", lambda: True)
    monkeypatch.setattr(functional, "conv2d", None)
    x, weight = randn(512, 256).to(dtype), randn(256, 256).to(dtype)
    assert torch.equal(kernels.linear(x, weight), functional.linear(x, weight))
    small = randn(64, 64)
    assert torch.equal(kernels.linear(small, small), functional.linear(small, small))


def test_an_empty_batch(monkeypatch):
    monkeypatch.setattr(kernels, "_onednn_is_faster", lambda: True)
    assert kernels.linear(randn(0, 4), randn(3, 4)).shape == (0, 3)


def test_keeping_memory_does_nothing_that_shows():
    assert kernels.keep_freed_memory() is None


@pytest.mark.parametrize(("n", "q"), [(0, 5), (1, 5), (23, 5), (23, 4000), (3, 2**22)])
def test_row_blocks_are_all_rows_in_order_and_no_larger_than_a_table(n, q):
    rows = torch.arange(n) * 2
    parts = kernels.row_blocks(rows, q)
    assert torch.equal(torch.cat([torch.empty(0, dtype=torch.long), *parts]), rows)
    assert all(len(part) > 0 and (len(part) * q <= kernels.TABLE or len(part) == 1) for part in parts)
