"""Settings of the machine."""

import os

import pytest
import torch

from cspops.errors import EnvironmentProblem
from cspops.host import Host, Job, Nodes, unknown_variables
from cspops.pipeline.run import read_host


def test_as_many_decoders_as_cores_for_images_in_files_and_none_for_others():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert Host().decoders(by_path=True) == cores
    assert Host().decoders(by_path=False) == 0


@pytest.mark.parametrize("by_path", [True, False])
@pytest.mark.parametrize("number", [0, 1, 7])
def test_decoders_as_asked_for(monkeypatch, by_path, number):
    monkeypatch.setenv("CSPOPS_WORKERS", str(number))
    assert Host().decoders(by_path=by_path) == number


@pytest.mark.parametrize("wrong", ["-1", "2.0", "two", "", " 3", "²", "1e3", "99999", "9" * 5000, "\udcff"])
def test_other_numbers_of_decoders_are_an_error(monkeypatch, wrong):
    monkeypatch.setenv("CSPOPS_WORKERS", wrong)
    with pytest.raises(EnvironmentProblem, match=f"CSPOPS_WORKERS={wrong} is not a number of processes") as caught:
        Host().decoders(by_path=True)
    assert caught.value.hint == "set it to auto, 0, 1, 2 ..."


def test_a_data_root_is_a_folder_or_to_be_made(monkeypatch, tmp_path):
    with pytest.raises(EnvironmentProblem, match="CSPOPS_DATA_ROOT is not set: images lie in a folder below it"):
        Host().required_data_root("images lie")
    monkeypatch.setenv("CSPOPS_DATA_ROOT", str(tmp_path / "later"))
    assert Host().required_data_root("images lie") == tmp_path / "later"
    (tmp_path / "later").write_text("a file")
    with pytest.raises(EnvironmentProblem, match="later is a file: CSPOPS_DATA_ROOT="):
        Host().required_data_root("images lie")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CSPOPS_DATA_ROOT", "~/big")
    assert Host().data_root == tmp_path / "big"
    monkeypatch.setenv("CSPOPS_DATA_ROOT", "")


@pytest.mark.parametrize(("value", "says"), [("", "it is empty"), ("~no such user/x", "is not known here")])
def test_a_data_root_that_is_none_is_a_sentence(monkeypatch, value, says):
    monkeypatch.setenv("CSPOPS_DATA_ROOT", value)
    with pytest.raises(EnvironmentProblem, match=f"^CSPOPS_DATA_ROOT={value}: .*{says}") as caught:
        read_host()
    assert caught.value.hint == "set it to another value, or unset CSPOPS_DATA_ROOT"


def test_portable_is_yes_or_no(monkeypatch):
    monkeypatch.setenv("CSPOPS_PORTABLE", "ja\x1b")
    with pytest.raises(EnvironmentProblem, match=r"^CSPOPS_PORTABLE=ja\x1b: .*'0' or '1'") as caught:
        read_host()
    assert caught.value.hint == "set it to '0' or '1', or unset CSPOPS_PORTABLE"


@pytest.mark.parametrize(("name", "value"), [("WORKERS", "-1"), ("NPROC", "x"), ("RANK", "1"), ("NNODES", "0")])
def test_nonsense_is_refused_before_any_stage_needs_it(monkeypatch, name, value):
    Host().require_sense()
    monkeypatch.setenv(f"CSPOPS_{name}", value)
    with pytest.raises(EnvironmentProblem, match=f"^CSPOPS_{name}={value}"):
        Host().require_sense()


def test_a_variable_that_nothing_reads_is_said_with_the_one_that_is_meant(monkeypatch, said):
    for name in ("CSPOPS_DATAROOT", "CSPOPS_FOO", "CSPOPS_QUIET", "CSPOPS_TEST_X", "CSPOPS_PORTABLE"):
        monkeypatch.setenv(name, "1")
    expected = [
        "nothing reads the variable CSPOPS_DATAROOT; did you mean CSPOPS_DATA_ROOT?",
        "nothing reads the variable CSPOPS_FOO",
    ]
    assert unknown_variables() == expected
    read_host()
    assert said == expected


@pytest.mark.parametrize("device", ["", "meta", "hpu", "CPU", "a\nb", "\x1b", "\udcff", "9" * 5000])
def test_a_device_that_is_none_is_a_sentence(monkeypatch, device):
    monkeypatch.setenv("CSPOPS_DEVICE", device)
    with pytest.raises(EnvironmentProblem, match="cannot be used: ") as caught:
        Host().torch_device()
    assert len(caught.value.message) < 250


def test_one_process_unless_asked(monkeypatch):
    assert Host().processes() == 1
    for asked, found in (("auto", 1), ("3", 3)):
        monkeypatch.setenv("CSPOPS_NPROC", asked)
        assert Host().processes() == found


def test_a_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(Host, "torch_device", lambda self: torch.device(self.device))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Host(device="cuda", nproc="auto").processes() == 2
    assert Host(device="cuda:1", nproc="auto").processes() == 1
    with pytest.raises(EnvironmentProblem, match="CSPOPS_NPROC=3 needs a GPU for each process, and CSPOPS_DEVICE=cuda has 2"):
        Host(device="cuda", nproc="3").processes()


@pytest.mark.parametrize("wrong", ["-1", "0", "two", "", "²", "99999", "9" * 5000, "\udcff"])
def test_other_numbers_of_processes_are_an_error(monkeypatch, wrong):
    monkeypatch.setenv("CSPOPS_NPROC", wrong)
    with pytest.raises(EnvironmentProblem, match=f"CSPOPS_NPROC={wrong} is not a number of processes"):
        Host().processes()


JOBS = ("CSPOPS_RANK", "CSPOPS_WORLD", "RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.fixture
def no_job(monkeypatch):
    for name in JOBS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, (0, 1)),
        ({"CSPOPS_RANK": "2", "CSPOPS_WORLD": "5"}, (2, 5)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, (3, 4)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, (1, 2)),
        ({"CSPOPS_RANK": "0", "CSPOPS_WORLD": "1", "RANK": "1", "WORLD_SIZE": "2"}, (0, 1)),
        ({"RANK": "7", "SLURM_PROCID": "0"}, (0, 1)),
        ({"WORLD_SIZE": "7", "SLURM_NTASKS": "4"}, (0, 1)),
        ({"RANK": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, (0, 2)),
    ],
)
def test_which_job_this_is(monkeypatch, no_job, variables, job):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Host().job() == job


@pytest.mark.parametrize("names", [JOBS[:2], JOBS[2:4], JOBS[4:]])
@pytest.mark.parametrize("values", [("2", "2"), ("-1", "2"), ("0", "0"), ("x", "2"), ("0", "2.0"), ("²", "9"), ("0", "99999")])
def test_a_job_that_cannot_be_is_a_sentence(monkeypatch, no_job, names, values):
    for name, value in zip(names, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentProblem, match=f"{names[0]}={values[0]} and {names[1]}={values[1]} are no rank") as caught:
        Host().job()
    assert caught.value.hint and names[0] in caught.value.hint


@pytest.mark.parametrize(("there", "lacks"), [JOBS[:2], JOBS[1::-1]])
def test_half_a_job_is_a_sentence(monkeypatch, no_job, there, lacks):
    monkeypatch.setenv(there, "1")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EnvironmentProblem, match=f"{there}=1 needs {lacks}, which is not set"):
        Host().job()


@pytest.mark.parametrize("n", [0, 1, 5, 12])
@pytest.mark.parametrize("world", [1, 2, 5, 7])
def test_jobs_have_disjoint_shares_of_everything(n, world):
    shares = [Job(rank, world).share(n) for rank in range(world)]
    assert [number for share in shares for number in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("device", "variables", "found"),
    [
        ("cuda", {"LOCAL_RANK": "1"}, "cuda:1"),
        ("cuda", {"SLURM_LOCALID": "3"}, "cuda:1"),
        ("cuda", {"LOCAL_RANK": "0", "SLURM_LOCALID": "1"}, "cuda:0"),
        ("cuda", {}, "cuda"),
        ("cuda", {"LOCAL_RANK": "x"}, "cuda"),
        ("cuda:0", {"LOCAL_RANK": "1"}, "cuda:0"),
        ("cpu", {"LOCAL_RANK": "1"}, "cpu"),
        ("cuda", {"LOCAL_RANK": "1", "CSPOPS_WORLD": "1", "CSPOPS_RANK": "0"}, "cuda"),
    ],
)
def test_jobs_of_one_machine_have_a_gpu_each(monkeypatch, no_job, device, variables, found):
    monkeypatch.setattr(Host, "torch_device", lambda self: torch.device(self.device))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"CSPOPS_RANK": "2", "CSPOPS_WORLD": "4"} | variables).items():
        monkeypatch.setenv(name, value)
    assert Host(device=device).job_device() == torch.device(found)


def test_one_machine_unless_asked(monkeypatch):
    monkeypatch.setenv("SLURM_NODEID", "3")  # of a job that does not train together
    assert Host().nodes() == Nodes()
    monkeypatch.setenv("CSPOPS_NNODES", "4")
    monkeypatch.setenv("CSPOPS_RDZV", "first.example:29400")
    assert Host().nodes() == Nodes(4, 3, "first.example", 29400)
    monkeypatch.setenv("CSPOPS_NODE_RANK", "1")
    assert Host().nodes().rank == 1
    assert Host().nodes().address == "first.example:29400"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NNODES": "0"}, "CSPOPS_NNODES=0 is not a number of machines"),
        ({"NNODES": "two"}, "CSPOPS_NNODES=two is not a number of machines"),
        ({"NODE_RANK": ""}, "CSPOPS_NNODES=2, and neither CSPOPS_NODE_RANK nor SLURM_NODEID is set"),
        ({"NODE_RANK": "2"}, "CSPOPS_NNODES=2, and CSPOPS_NODE_RANK=2 is not one of 0 to 1"),
        ({"NODE_RANK": "-1"}, "CSPOPS_NNODES=2, and CSPOPS_NODE_RANK=-1 is not one of 0 to 1"),
        ({"RDZV": ""}, "CSPOPS_NNODES=2, and CSPOPS_RDZV is not set"),
        ({"RDZV": "first"}, "CSPOPS_NNODES=2, and CSPOPS_RDZV=first is not host:port"),
        ({"RDZV": "first:0"}, "CSPOPS_NNODES=2, and CSPOPS_RDZV=first:0 is not host:port"),
        ({"RDZV": "first:99999"}, "CSPOPS_NNODES=2, and CSPOPS_RDZV=first:99999 is not host:port"),
        ({"RDZV": "a b:1"}, "CSPOPS_NNODES=2, and CSPOPS_RDZV=a b:1 is not host:port"),
    ],
)
def test_machines_that_could_not_meet_are_an_error(monkeypatch, variables, message):
    monkeypatch.delenv("SLURM_NODEID", raising=False)
    for name, value in ({"NNODES": "2", "NODE_RANK": "0", "RDZV": "first:29400"} | variables).items():
        monkeypatch.setenv(f"CSPOPS_{name}", value)
    with pytest.raises(EnvironmentProblem) as caught:
        Host().nodes()
    assert caught.value.message == message
    assert caught.value.hint
