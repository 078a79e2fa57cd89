"""Snapshots: whole or not there, exact, and deaf to strangers in their folder."""

import pytest
import torch
from torch import nn

from cspops.training import resume as resume_module
from cspops.training.resume import Resume, restore_training_state, training_state


def test_nothing_saved_is_none(tmp_path):
    assert Resume(tmp_path / "not there").load("run") is None


def test_round_trip_is_exact(tmp_path):
    tensors = {"a.b": torch.randn(3, 4), "n": torch.tensor(7), "h": torch.randn(2).half(), "strided": torch.randn(2, 3).T}
    facts = {"curve": [{"epoch": 1, "total": 0.1 + 0.2}], "unit": "°"}
    Resume(tmp_path / "deep" / "folder").save("pretrain seed 0", tensors, facts)
    got, got_facts = Resume(tmp_path / "deep" / "folder").load("pretrain seed 0")
    assert got_facts == facts
    assert set(got) == set(tensors)
    for key, value in tensors.items():
        assert got[key].dtype == value.dtype
        assert torch.equal(got[key], value)


def test_a_second_save_replaces_the_first(tmp_path):
    resume = Resume(tmp_path)
    resume.save("run", {"x": torch.zeros(1)}, {"curve": [1]})
    resume.save("run", {"x": torch.ones(1)}, {"curve": [1, 2]})
    tensors, facts = resume.load("run")
    assert (tensors["x"].item(), facts) == (1, {"curve": [1, 2]})
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_names_do_not_mix(tmp_path):
    resume = Resume(tmp_path)
    resume.save("seed 1", {"x": torch.zeros(1)}, {})
    assert resume.load("seed 10") is None
    assert resume.load("seed") is None


def test_a_stray_temporary_file_is_ignored(tmp_path):
    """What a killed run leaves behind: half a file under the temporary name, beside the last whole snapshot."""
    (tmp_path / ".run.4242").write_bytes(b"half a snap")
    assert Resume(tmp_path).load("run") is None
    Resume(tmp_path).save("run", {"x": torch.ones(1)}, {"curve": []})
    (tmp_path / ".run.4243").write_bytes(b"")
    assert Resume(tmp_path).load("run")[0]["x"].item() == 1


def test_a_save_that_dies_leaves_the_snapshot_before_it(tmp_path, monkeypatch):
    resume = Resume(tmp_path)
    resume.save("run", {"x": torch.ones(1)}, {"curve": [1]})

    def dies(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(resume_module, "save_file", dies)
    with pytest.raises(OSError, match="disk full"):
        resume.save("run", {"x": torch.zeros(1)}, {"curve": [1, 2]})
    assert resume.load("run")[1] == {"curve": [1]}


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
    Resume(tmp_path).save("run", training_state(modules, optimizer), {})
    steps(modules, optimizer, 2, 5)

    again, its_optimizer = make(kind, channels_last)
    restore_training_state(Resume(tmp_path).load("run")[0], again, its_optimizer)
    steps(again, its_optimizer, 2, 5)
    for (key, mine), theirs in zip(again["net"].state_dict().items(), modules["net"].state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key


def test_state_holds_every_parameter_buffer_and_moment():
    modules, optimizer = make("sgd", channels_last=False)
    steps(modules, optimizer, 0, 1)
    state = training_state(modules, optimizer)
    parameters = len(list(modules["net"].parameters()))
    assert {key for key in state if key.startswith("net.")} == {f"net.{key}" for key in modules["net"].state_dict()}
    assert sum(key.startswith("optimizer.") for key in state) == parameters
