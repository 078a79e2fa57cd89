"""data.dvc read and pointed elsewhere."""

from pathlib import Path

import pytest

from cspops.commands import own_images
from cspops.errors import DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data.dvc").write_bytes((ROOT / "data.dvc").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", ["/home/me/photos", "../photos of me", "~x", "a: b # c", "Ä/é"])
def test_only_the_path_of_the_dependency_changes(folder: str) -> None:
    before = Path("data.dvc").read_text()
    new = own_images.data_dvc_with(folder)
    Path("data.dvc").write_text(new)
    assert own_images.imported_folder() == folder
    old_lines, new_lines = before.splitlines(), new.splitlines()
    assert [line for line in old_lines if line not in new_lines] == ["  path: src/cspops/sample"]
    assert len(old_lines) == len(new_lines)
    assert own_images.data_dvc_with("src/cspops/sample") == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "does not name one folder"),
        (b"deps: 3\n", "does not name one folder"),
        (b"deps: []\n", "does not name one folder"),
        (b"deps:\n- url: x\n", "does not name one folder"),
        (b"deps:\n- path: 3\n", "does not name one folder"),
        (b"deps:\n- path: a\n- path: b\n", "does not name one folder"),
        (b"deps: [\n", "does not name one folder"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_a_broken_file_is_one_sentence(content: bytes, says: str) -> None:
    Path("data.dvc").write_bytes(content)
    for call in (own_images.imported_folder, lambda: own_images.data_dvc_with("x")):
        with pytest.raises(DataError, match=rf"^data\.dvc {says}") as caught:
            call()
        assert "git restore data.dvc" in (caught.value.hint or "")


def test_no_file_at_all() -> None:
    Path("data.dvc").unlink()
    with pytest.raises(DataError, match=r"data\.dvc is missing"):
        own_images.imported_folder()
