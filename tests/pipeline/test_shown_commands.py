"""A stranger with README.md and docs/ alone: every command shown is run as it stands, in a small finished project."""

import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import released_files
from dated_model import write_dated_export
from photos import gps_exif
from PIL import Image
from shown import PAGES, Block, Command, blocks, commands
from small_project import environment

SHOWN = [block for page in PAGES for block in blocks(page) if block.language in {"console", "python"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", autouse=True)
def photos(project: Path) -> None:
    """What the pages speak of: `photo.jpg`, `photos/CLASS/*.jpg` with positions in their EXIF, a released checkpoint, a model
    of a class that migrates."""
    classes = json.loads((project / "artifacts/download/classes.json").read_text())
    rows = pq.read_table(project / "artifacts/download/observations.parquet").slice(0, 40).to_pylist()
    for row in rows:
        file = project / "photos" / classes[row["label"]] / f"{row['obs_id']}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
            image.convert("RGB").save(file, exif=gps_exif(row["lon"], row["lat"]))
            image.convert("RGB").save(project / "photo.jpg")
    write_dated_export(project / "swallows")
    rows_of_birds = ("nest,8.54,47.37,2024-06-15", "roost,24.5,-14.2,2024-01-20T05:30:00+02:00", "unknown,8.54,47.37,")
    (project / "birds.csv").write_text("name,lon,lat,eventDate\n" + "\n".join(rows_of_birds) + "\n")
    released_files.write(project / "model_inat_2018_gridcell.pth.tar", released_files.params())


@pytest.fixture
def shell(project: Path, home: Path) -> Callable[[str, Path], subprocess.CompletedProcess[str]]:
    def run(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
        variables = environment() | {"HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull, "COLUMNS": "120"}
        return subprocess.run(["bash", "-c", text], cwd=folder, env=variables, capture_output=True, text=True, timeout=900)

    return run


@pytest.mark.parametrize("block", SHOWN, ids=[f"{block.page}-{block.heading}-{block.language}" for block in SHOWN])
def test_what_is_shown_runs(
    block: Block, project: Path, home: Path, shell: Callable[[str, Path], subprocess.CompletedProcess[str]]
) -> None:
    if block.language == "python":
        done = shell(f"python - <<'END'\n{chr(10).join(block.lines)}\nEND", project)
        assert done.returncode == 0, done.stderr
        return
    folder, lock = project, (project / "dvc.lock").read_bytes()
    for command in commands(block):
        if command.text.startswith("cd "):
            folder = Path(command.text.removeprefix("cd ").split("#")[0].strip().replace("~", str(home)))
            assert folder.is_dir()
            continue
        check(command, shell(command.text, folder), folder)
    if block.page == "experiments.md":
        assert (project / "dvc.lock").read_bytes() == lock  # the run in the workspace is still the one before


def check(command: Command, done: subprocess.CompletedProcess[str], folder: Path) -> None:
    """It ended as shown: well, or with the error that is shown; a file that it was to write is there."""
    said = f"{command.text}\n{done.stdout}\n{done.stderr}"
    if command.error is not None:
        assert done.returncode != 0, said
        assert command.error in done.stderr.splitlines(), said
        return
    words = command.text.split("#")[0].split()
    may_drop = words[:2] == ["cspops", "compare"]  # accuracies of this small project rise and fall by chance
    assert done.returncode in ((0, 1) if may_drop else (0,)), said
    if command.output:
        assert done.stdout.strip(), said
    if "--out" in words:
        made = folder / words[words.index("--out") + 1]
        assert made.stat().st_size > 0 if made.is_file() else any(made.iterdir()), said
