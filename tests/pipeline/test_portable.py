"""Portable mode gives the same bytes, whatever the environment asks of the libraries and however many processes there are."""

import json
from pathlib import Path

import pytest
from small_project import run

FASTEST = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "MKL_CBWR": "AUTO",
    "ONEDNN_MAX_CPU_ISA": "ALL",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "CSPOPS_WORKERS": "1",
}


def facts(project: Path, stage: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((project / "artifacts" / stage / "stage.json").read_text())
    return content


def test_one_process_and_two_and_other_kernels_give_the_same_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ("pretrain_img", "pretrain", "finetune_loc", "finetune_img", "evaluate"):
        by_two = facts(project, stage)
        numerics = by_two["numerics"]
        assert isinstance(numerics, dict)
        if not numerics["portable"]:
            pytest.skip("no processor for portable mode")
        with monkeypatch.context() as patched:
            for name, value in FASTEST.items():
                patched.setenv(name, value)
            run(project, "cspops", stage.replace("_", "-"), processes="cold")
        assert facts(project, stage) == by_two
