"""torch's compiler is not loaded for a prediction, and is there for whoever needs it."""

import subprocess
import sys

import pytest
from location_runs import write_run

from cspops.commands import without_compiler as module
from cspops.commands.without_compiler import without_compiler


@pytest.fixture
def colorsys(monkeypatch):
    """A small module in the place of the compiler."""
    monkeypatch.setattr(module, "NAMES", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


def test_what_is_only_imported_is_not_loaded(colorsys):
    with without_compiler():
        from colorsys import disable

        assert disable(len) is len
        assert disable(reason="none")(len) is len
        assert not hasattr(sys.modules["colorsys"], "__file__")
    assert "colorsys" not in sys.modules


@pytest.mark.parametrize("before", [False, True])
def test_what_is_used_is_loaded(colorsys, before):
    if before:
        import colorsys as first
    with without_compiler():
        from colorsys import rgb_to_hsv
    import colorsys as true

    assert rgb_to_hsv is true.rgb_to_hsv
    assert true.__file__
    assert not before or true is first


def test_a_model_with_an_image_network_needs_no_compiler(tmp_path):
    write_run(tmp_path / "artifacts")
    code = (
        "import sys; from pathlib import Path; from cspops.commands.options import load_model; "
        "load_model(Path(), None, None).image.network; "
        "import cspops.report.model_reach; "  # as predict does, which draws nothing
        "print([name in sys.modules for name in ('timm', 'torchvision', 'sympy', 'torch._dynamo', 'matplotlib')]); "
        "from torchvision.ops.roi_align import is_compile_supported as ask; print(ask('cpu') in (False, True)); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, False, False, False]\nTrue\nTrue\n"
