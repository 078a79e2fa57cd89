"""Snapshots: whole or not there, exact, and deaf to strangers in their folder."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cspops.training.resume import Resume


def test_nothing_saved_is_none(tmp_path):
    assert Resume(tmp_path / "not there").load("run") is None


def test_round_trip_is_exact(tmp_path):
    tensors = {"a.b": torch.randn(3, 4), "n": torch.tensor(7), "h": torch.randn(2).half(), "strided": torch.randn(2, 3).T}
    state = {"tensors": tensors, "curve": [{"epoch": 1, "total": 0.1 + 0.2}], "unit": "°"}
    Resume(tmp_path / "deep" / "folder").save("pretrain seed 0", state)
    got = Resume(tmp_path / "deep" / "folder").load("pretrain seed 0")
    assert (got["curve"], got["unit"]) == (state["curve"], "°")
    assert set(got["tensors"]) == set(tensors)
    for key, value in tensors.items():
        assert got["tensors"][key].dtype == value.dtype
        assert torch.equal(got["tensors"][key], value)


def test_a_second_save_replaces_the_first(tmp_path):
    resume = Resume(tmp_path)
    for steps in (1, 2):
        resume.save("run", {"steps": steps})
    assert resume.load("run") == {"steps": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_names_do_not_mix(tmp_path):
    resume = Resume(tmp_path)
    resume.save("seed 1", {})
    assert resume.load("seed 10") is None
    assert resume.load("seed") is None


def test_a_save_that_dies_leaves_the_snapshot_before_it(tmp_path, monkeypatch):
    resume = Resume(tmp_path)
    resume.save("run", {"curve": [1]})

    def dies(state, file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(OSError, match="disk full"):
        resume.save("run", {"curve": [1, 2]})
    assert resume.load("run") == {"curve": [1]}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_snapshot_that_is_cut_is_dropped_with_a_warning(tmp_path, said, share):
    Resume(tmp_path).save("run", {"x": torch.randn(1000)})
    file = tmp_path / "run.pt"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert Resume(tmp_path).load("run") is None
    assert len(said) == 1 and said[0].startswith(f"{file} cannot be read (") and said[0].endswith("): run begins anew")


def test_a_snapshot_with_a_changed_bit_is_dropped(tmp_path, said):
    Resume(tmp_path).save("run", {"x": torch.zeros(1000)})
    content = bytearray((tmp_path / "run.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "run.pt").write_bytes(content)
    assert Resume(tmp_path).load("run") is None
    assert len(said) == 1 and said[0].endswith("cannot be read (BadZipFile): run begins anew")


def test_a_snapshot_of_something_else_is_dropped(tmp_path, said):
    torch.save([1], tmp_path / "run.pt")
    assert Resume(tmp_path).load("run") is None and len(said) == 1


class Code:
    """Runs when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_snapshot_is_never_run(tmp_path, said):
    torch.save({"x": Code(tmp_path / "ran")}, tmp_path / "run.pt")
    assert Resume(tmp_path).load("run") is None
    assert not (tmp_path / "ran").exists() and len(said) == 1


def make(kind: str, channels_last: bool) -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 2))
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
    optimizer = (
        torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
        if kind == "adam"
        else torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, fused=True)
    )
    return {"net": net}, optimizer


def steps(modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad(set_to_none=True)
        modules["net"].train()(x.to(memory_format=torch.channels_last)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_training_goes_on_from_a_snapshot_as_if_nothing_had_happened(tmp_path, kind, channels_last):
    """Parameters, batch-norm buffers and the optimiser's moments, which have to come back in the weights' memory layout."""
    modules, optimizer = make(kind, channels_last)
    steps(modules, optimizer, 0, 2)
    Resume(tmp_path).save("run", {"net": modules["net"].state_dict(), "optimizer": optimizer.state_dict()})
    steps(modules, optimizer, 2, 5)

    again, its_optimizer = make(kind, channels_last)
    state = Resume(tmp_path).load("run")
    again["net"].load_state_dict(state["net"])
    its_optimizer.load_state_dict(state["optimizer"])
    steps(again, its_optimizer, 2, 5)
    for (key, mine), theirs in zip(again["net"].state_dict().items(), modules["net"].state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key
