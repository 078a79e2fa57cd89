"""The artifacts of dvc.yaml, registered by a git tag and brought by name from a bare repository and a DVC remote."""

from pathlib import Path

from ruamel.yaml import YAML
from small_project import ROOT, run

OUTS = ("artifacts/download", "artifacts/pretrain", "artifacts/finetune_loc")


def test_what_is_registered_is_brought_by_its_name_from_elsewhere(tmp_path: Path) -> None:
    project, bare, store = (tmp_path / name for name in ("project", "bare.git", "store"))
    project.mkdir()
    stages = {out.split("/")[1]: {"cmd": f"mkdir -p {out} && echo {out} > {out}/stage.json", "outs": [out]} for out in OUTS}
    graph = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    YAML(typ="safe").dump({"stages": stages, "artifacts": graph["artifacts"]}, project / "dvc.yaml")
    (project / ".gitignore").write_text("/artifacts/\n")
    run(project, "git", "init", "-q", "-b", "main")
    for key, value in (("user.name", "tests"), ("user.email", "tests@example.org")):
        run(project, "git", "config", key, value)
    run(project, "dvc", "init", "-q")
    run(project, "dvc", "remote", "add", "-q", "-d", "store", str(store))
    run(project, "dvc", "repro", "-q")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "run")
    run(project, "dvc", "push", "-q")
    for name in graph["artifacts"]:
        run(project, "gto", "register", name)
    run(tmp_path, "git", "clone", "-q", "--bare", str(project), str(bare))
    for name, brought in (("location-encoder", {OUTS[1]}), ("classifier", set(OUTS)), ("catalogue", {OUTS[0]})):
        run(tmp_path, "dvc", "artifacts", "get", str(bare), name, "--out", name)
        assert {file.read_text().strip() for file in (tmp_path / name).rglob("stage.json")} == brought
