"""The command line: exit codes, where output goes, and that nothing is lost when something is wrong."""

import shutil
import subprocess
from pathlib import Path

import pytest
from small_project import Processes, environment

ROOT = Path(__file__).parents[2]


def cspops(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with the sources of this checkout."""
    return python("-m", "cspops", *arguments, cwd=cwd, **{"COLUMNS": "200"} | env)


def python(*words: str, cwd: Path, processes: Processes = "warm", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["python", *words],
        cwd=cwd,
        env=environment(processes) | {"PYTHONPATH": str(ROOT / "src")} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_help_lists_the_stages_in_order(project: Path) -> None:
    from cspops.params import VIEWS

    done = cspops("--help", cwd=project)
    assert done.returncode == 0
    positions = [done.stdout.index(f" {stage} ") for stage in ("check", *VIEWS)]
    assert positions == sorted(positions)
    assert cspops("-h", cwd=project).stdout == done.stdout


def test_check_refuses_an_encoder_to_start_from_that_is_not_there(project: Path) -> None:
    replace(project / "params.yaml", "\n  weights: random            # before", "\n  weights: file:nowhere # before")
    done = cspops("check", cwd=project)
    assert done.returncode == 3
    assert done.stderr.startswith("error: nowhere is missing\nhint: location_encoder.weights in params.yaml names ")


def test_help_imports_nothing_heavy(project: Path) -> None:
    code = (
        "import sys; sys.argv = ['cspops', '--help']\n"
        "from cspops.commands import main\nassert main() == 0\n"
        "heavy = {'torch', 'timm', 'numpy', 'pyarrow', 'sklearn', 'matplotlib', 'dvc', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python("-c", code, cwd=project, processes="cold")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stage", ["check", "download", "pretrain", "evaluate"])
def test_whichever_stage_runs_first_refuses_a_wrong_value_and_touches_nothing(project: Path, stage: str) -> None:
    kept = project / "artifacts" / stage / "result"
    kept.parent.mkdir(parents=True)
    kept.write_text("the last good run")
    replace(project / "params.yaml", "\nloss: mc ", "\nloss: mcc ")
    done = cspops(stage, cwd=project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        "error: params.yaml: loss: 'mcc' is not one of mc, nce, mse, gair, none; did you mean `mc`?\nhint: "
    )
    assert kept.read_text() == "the last good run"
    assert sorted(path.name for path in project.iterdir()) == ["artifacts", "params.yaml"]


def test_a_missing_artefact_is_one_sentence_with_the_command(project: Path) -> None:
    done = cspops("evaluate", cwd=project)
    assert done.returncode == 3
    assert done.stderr == "error: artifacts/download is missing: stage evaluate reads it\nhint: dvc repro evaluate\n"


def test_missing_raw_inputs_are_named_and_leave_nothing_half_written(project: Path) -> None:
    done = cspops("download", cwd=project)
    assert done.returncode == 3
    assert "data/manifest.json is missing" in done.stderr
    assert "hint: dvc repro data.dvc" in done.stderr
    assert not [path for path in (project / "artifacts").rglob("*") if path.is_file()]


def test_no_params_file(tmp_path: Path) -> None:
    done = cspops("check", cwd=tmp_path)
    assert done.returncode == 2
    assert "params.yaml is missing" in done.stderr


def test_a_device_that_is_not_there(project: Path) -> None:
    done = cspops("check", cwd=project, CSPOPS_DEVICE="cuda:99")
    assert done.returncode == 0  # where it runs is no matter of params
    code = (
        "from cspops.host import Host\nfrom cspops.errors import EnvironmentProblem\n"
        "try: Host().torch_device()\nexcept EnvironmentProblem as error: print(error.code, error.message)"
    )
    done = python("-c", f"import warnings; warnings.simplefilter('ignore')\n{code}", cwd=project, CSPOPS_DEVICE="cuda:99")
    assert done.stdout.startswith("4 CSPOPS_DEVICE=cuda:99 cannot be used: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evalute"], "Did you mean 'evaluate'"),
        (["evaluate", "--jsn"], "--json"),
        (["evaluate", "extra"], "unexpected extra argument"),
    ],
)
def test_usage_errors_are_exit_code_2(project: Path, arguments: list[str], says: str) -> None:
    done = cspops(*arguments, cwd=project)
    assert done.returncode == 2
    assert says in done.stderr


def test_dvc_runs_the_sources_of_the_folder_it_stands_in(project: Path) -> None:
    """A queued experiment runs in a copy of the snapshot: its sources count, not those that are installed."""
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "sample"))
    replace(
        project / "src/cspops/commands/stages.py",
        "def check() -> None:\n",
        'def check() -> None:\n    print("SNAPSHOT")\n',
    )
    assert "SNAPSHOT" in cspops("check", cwd=project, DVC_STAGE="check").stdout
    assert "SNAPSHOT" not in cspops("check", cwd=project).stdout  # outside DVC: what is installed


def test_version_is_that_of_the_package(project: Path) -> None:
    from importlib.metadata import version

    assert cspops("--version", cwd=project).stdout == f"cspops {version('cspops')}\n"
