"""What portable mode asks of the libraries. That it gives the same bytes: tests/pipeline/test_portable.py."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from cspops import numerics
from cspops.params import VIEWS


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just begun, on an x86-64 processor."""
    monkeypatch.setattr(sys, "modules", {name: one for name, one in sys.modules.items() if name not in ("numpy", "torch")})
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "8", "ONEDNN_MAX_CPU_ISA": "ALL", "HOME": "/"})
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("nothing_loaded")
def test_its_settings_go_before_what_the_environment_says() -> None:
    numerics.settle()
    assert os.environ.items() >= (numerics.SETTINGS | {"HOME": "/"}).items()


@pytest.mark.usefixtures("nothing_loaded")
@pytest.mark.parametrize("why", ["not wanted", "another processor", "torch is loaded", "numpy is loaded"])
def test_they_are_left_alone_where_they_would_not_serve(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "not wanted":
        os.environ["CSPOPS_PORTABLE"] = "0"
    elif why == "another processor":
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
    else:
        sys.modules[why.split()[0]] = torch
    before = dict(os.environ)
    numerics.settle()
    assert os.environ == before


def settled(monkeypatch: pytest.MonkeyPatch, *, capability: str = "AVX2", threads: int = 1) -> None:
    for name, value in numerics.SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)


def test_portable_runs_name_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    facts = numerics.facts(torch.device("cpu"))
    assert facts.keys() == {"portable", "threads", "instruction_set", "torch", "numpy"}
    assert facts["portable"] is True and facts["threads"] == 1 and "+" not in facts["torch"]


@pytest.mark.parametrize(("capability", "threads"), [("AVX512", 1), ("DEFAULT", 1), ("AVX2", 2)])
def test_others_do(monkeypatch: pytest.MonkeyPatch, capability: str, threads: int) -> None:
    settled(monkeypatch, capability=capability, threads=threads)
    facts = numerics.facts(torch.device("cpu"))
    assert (facts["portable"], facts["threads"], facts["instruction_set"]) == (False, threads, capability)
    assert facts["cpu"] and "device" not in facts


def test_a_setting_that_is_not_made_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    assert numerics.portable()
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    assert not numerics.portable()


def test_no_command_loads_numpy_or_torch_before_it_asks_for_portable_kernels() -> None:
    script = """
import sys
from cspops import numerics
from cspops.commands import app
from cspops.params import VIEWS

class Asked(BaseException):
    pass

def settle():
    raise Asked(sorted({"numpy", "torch"} & sys.modules.keys()))

numerics.settle = settle
for command in (*VIEWS, "image-networks"):
    try:
        app([command])
    except Asked as asked:
        print(command, *asked.args)
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [f"{command} []" for command in (*VIEWS, "image-networks")]
