import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.seeds import derive, global_torch_stream, numpy_stream, torch_stream

prop = settings(deadline=None, derandomize=True, max_examples=100)
names = st.text(alphabet=st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=8)
purposes = st.lists(names, max_size=3)


@prop
@given(st.integers(-(2**40), 2**40), purposes)
def test_a_seed_fits_every_generator(seed, purpose):
    derived = derive(seed, *purpose)
    assert 0 <= derived < 2**63
    assert derived == derive(seed, *purpose)


@prop
@given(st.tuples(st.integers(0, 50), purposes), st.tuples(st.integers(0, 50), purposes))
def test_other_seed_or_other_purpose_is_another_stream(a, b):
    assert (derive(a[0], *a[1]) == derive(b[0], *b[1])) == (a == b)


def test_seeds_are_spread_over_all_63_bits():
    """Of 4000 seeds each bit is set in 2000 give or take sqrt(1000) = 32; five deviations are 160."""
    derived = np.array([derive(seed, "spread") for seed in range(4000)], dtype=np.uint64)
    ones = [(derived >> np.uint64(bit) & np.uint64(1)).sum() for bit in range(63)]
    assert all(abs(int(count) - 2000) < 160 for count in ones)


def test_a_seed_is_the_head_of_a_hash_and_so_the_same_in_every_process():
    """Python's own `hash` of a text changes from one process to the next; a run that continues would draw other numbers."""
    head = hashlib.sha256(b"7/pretrain/dropout/3").hexdigest()[:16]
    assert derive(7, "pretrain", "dropout", 3) == int(head, 16) // 2


def torch_numbers(seed, *purpose):
    return torch.randn(4000, generator=torch_stream(seed, *purpose)).numpy()


def numpy_numbers(seed, *purpose):
    return numpy_stream(seed, *purpose).standard_normal(4000)


@pytest.mark.parametrize("numbers", [torch_numbers, numpy_numbers])
def test_streams_repeat_and_do_not_correlate(numbers):
    """The correlation of 4000 independent pairs has deviation 1 / sqrt(4000) = 0.016; five deviations are 0.08."""
    one = numbers(0, "rows", 1)
    assert np.array_equal(one, numbers(0, "rows", 1))
    for other in (numbers(0, "rows", 2), numbers(0, "draws", 1), numbers(1, "rows", 1)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.08


def test_torch_stream_is_on_the_asked_device():
    assert torch_stream(0, "x", device="cpu").device == torch.device("cpu")


def test_the_global_stream_repeats_and_puts_back_what_was_there():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with global_torch_stream(0, "dropout", 1):
        first = torch.rand(3)
    assert torch.rand(3).equal(expected), "the block moved the outer stream"
    with global_torch_stream(0, "dropout", 1):
        assert torch.rand(3).equal(first)
    with global_torch_stream(0, "dropout", 2):
        assert not torch.rand(3).equal(first)


def test_the_global_stream_is_put_back_after_an_error():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(KeyError), global_torch_stream(0, "dropout"):
        torch.rand(3)
        raise KeyError
    assert torch.get_rng_state().equal(before)


def test_the_global_stream_governs_initialisation_and_dropout():
    def run(purpose):
        with global_torch_stream(0, purpose):
            layer = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Dropout(0.5))
            return layer(torch.ones(1, 8))

    assert run("a").equal(run("a"))
    assert not run("a").equal(run("b"))
