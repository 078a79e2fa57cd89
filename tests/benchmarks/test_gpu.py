"""On the CPU path everything is measured, and the file has what a GPU's would."""

import json
import os
import subprocess

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import NO_GPU

CASES = [
    "pre-training mc BLD, batch 64",
    "presence-absence, batch 64",
    "evaluation",
    "featurize timm:test_resnet",
    "featurize timm:test_vit",
]


def test_the_cpu_path_writes_the_whole_document(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CSPOPS_DEVICE", "cpu")
    monkeypatch.setenv("CSPOPS_WORKERS", "0")
    gpu.main(["--out", str(tmp_path / "gpu.json"), "--tests", "3 passed"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == NO_GPU
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert (document["device"]["type"], document["device"]["note"], document["tests"]) == ("cpu", NO_GPU, "3 passed")
    assert set(document["flops_per_s"]) == {"float32", "tf32", "bfloat16"}
    assert (list(document["cases"]), document["left_out"]) == (CASES, [])
    for name, case in document["cases"].items():
        assert case["x_plain"] > 0, name
        if name != "evaluation":
            assert all(0 < share < 2 for share in case["x_bound"].values()), name
        assert "busy" in case or name == "evaluation"
    assert torch.get_float32_matmul_precision() == document["float32_products"]


def test_no_case_begins_after_its_time(tmp_path, monkeypatch):
    monkeypatch.setenv("CSPOPS_DEVICE", "cpu")
    gpu.main(["--out", str(tmp_path / "gpu.json"), "--seconds", "-1"])
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert (document["cases"], document["left_out"]) == ({}, CASES)


@pytest.mark.parametrize(("tests", "status"), [("5 passed in 1s", 0), ("1 failed, 4 passed in 1s", 1), ("2 errors in 1s", 1)])
def test_the_script_passes_on_what_the_tests_said(tmp_path, tests, status):
    """With a `python` that says so in place of both."""
    fake = tmp_path / "bin/python"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *pytest*) echo "$*" >{tmp_path}/asked; echo "{tests}" ;; *) echo "$*" ;; esac\n')
    fake.chmod(0o755)
    environment = os.environ | {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["benchmarks/gpu.sh", "a.json"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout.splitlines()[-1] == f"-m benchmarks.gpu --out a.json --seconds 240 --tests {tests}"
    asked = (tmp_path / "asked").read_text()
    assert all(f"tests/{name}" in asked for name in ("training/test_on_a_gpu.py", "data/test_negatives.py"))
