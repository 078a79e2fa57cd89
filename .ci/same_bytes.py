"""Say loudly, and never fail, whether `make repro` gave the committed bytes here: each processor is a measurement."""

import json
import subprocess
from pathlib import Path

from ruamel.yaml import YAML


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


def outs(text: str) -> list[tuple[str, str, str]]:
    """Return stage, path and md5 of each output, in the order of the graph."""
    stages = YAML(typ="safe").load(text)["stages"]
    order = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [(stage, out["path"], out["md5"]) for stage in order if stage in stages for out in stages[stage].get("outs", [])]


def main() -> None:
    changed = git("status", "--porcelain").splitlines()
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    numerics = json.loads(Path("reports/run.json").read_text(encoding="utf-8"))["numerics"]
    print(f"processor: {names[0].partition(': ')[2] if names else 'unknown'}; {numerics}")
    if not changed:
        print("SAME BYTES: git status is clean after make repro")
        return
    ours, theirs = outs(Path("dvc.lock").read_text(encoding="utf-8")), outs(git("show", "HEAD:dvc.lock"))
    first = next(
        (f"stage {stage}, {path}" for stage, path, md5 in ours if (stage, path, md5) not in theirs), "none of dvc.lock"
    )
    print(f"OTHER BYTES: first {first}; {len(changed)} files differ in git, first {changed[0][3:]}")


if __name__ == "__main__":
    main()
