"""The download stage: the embedded rasters, a folder, published sets that are there or not."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from photos import write_photos
from published_sets import write_inat2018_features

from cspops.errors import DataError, EnvironmentProblem
from cspops.host import Host
from cspops.intake.published.manifest import Published
from cspops.params import DownloadView, load, view, with_values
from cspops.pipeline import download
from cspops.site import Site

ROOT = Path(__file__).parents[2]
SMALL = {f"dataset.blue_marble.{name}": 40 for name in ("train", "val", "test", "spatial_val", "spatial_test")} | {
    "dataset.blue_marble.min_zone_points": 1,
    "dataset.blue_marble.views.glimpse.px": 8,
}


def of(**values: Any) -> DownloadView:
    """What the stage reads when some keys below `dataset` have other values."""
    changed = {f"dataset.{key.replace('__', '.')}": value for key, value in values.items()}
    return view(with_values(load(ROOT / "params.yaml"), (SMALL | changed).items()), DownloadView)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name in ("out", "scratch", "raw"):
        (tmp_path / name).mkdir()
    return Site(tmp_path / "raw", {}, tmp_path, tmp_path / "out", tmp_path / "scratch", Host(workers="0"))


def with_root(site: Site, root: Path) -> Site:
    return Site(site.raw, {}, site.reports_of_project, site.out, site.scratch, Host(workers="0", data_root=root))


def test_a_least_class_size_that_leaves_no_class_is_refused_and_nothing_is_written(site: Site) -> None:
    there = Site(ROOT / "src/cspops/sample", {}, site.out, site.out, site.scratch, Host())
    with pytest.raises(DataError, match=r"no class is left: 200 of 200 rows were set aside, most because its class has fewer"):
        download.run(of(min_class_size=10_000), there)
    assert not list(site.out.iterdir()) and not list(site.scratch.iterdir())


def test_too_many_rows_set_aside_stop_the_run_with_the_reasons(site: Site) -> None:
    write_photos(site.raw, 20, exif=True)
    for number, file in enumerate(sorted(site.raw.rglob("*.jpg"))[:5]):
        file.write_bytes(b"" if number < 3 else file.read_bytes()[:300])
    with pytest.raises(DataError) as caught:
        download.run(of(source="folder"), site)
    assert caught.value.message.startswith(
        "5 of 20 rows were set aside (25.0%), more than dataset.max_rejected allows (10.0%):"
    )
    assert "3: image file is empty (first heath/" in caught.value.message
    assert not list(site.out.iterdir())
    download.run(of(source="folder", max_rejected=0.25), site)
    account = json.loads((site.out / "account.json").read_text())
    numbers = json.loads((site.out / "reports/data.json").read_text())
    assert numbers["rejected_share"] == 0.25 and numbers["classes"] == len(account["classes"]) == 3
    assert {key: numbers[key] for key in ("rows", "observations", "rejected")} == {
        key: account[key] for key in ("rows", "observations", "rejected")
    }
    assert all(isinstance(number, int | float) for number in numbers.values())  # what `dvc metrics diff` compares
    assert (account["rows"], account["observations"], account["rejected"]) == (20, 15, 5)
    rejected = pq.read_table(site.out / "rejected.parquet").to_pylist()
    assert [row["where"] for row in rejected] == sorted(row["where"] for row in rejected)
    assert len(rejected) == 5


def test_a_folder_that_is_not_there_is_said_so(site: Site) -> None:
    site.raw.rmdir()
    with pytest.raises(DataError, match=r"raw is not a folder \(data\.dvc\)"):
        download.run(of(source="folder"), site)
    missing = with_root(site, site.out / "no such folder")
    with pytest.raises(DataError, match=r"no such folder is not a folder \(CSPOPS_DATA_ROOT\)"):
        download.run(of(source="folder", folder__root="data_root"), missing)


def test_the_project_itself_is_never_read_for_want_of_a_data_root(site: Site) -> None:
    with pytest.raises(EnvironmentProblem, match=r"CSPOPS_DATA_ROOT is not set: dataset\.folder\.root is data_root"):
        download.run(of(source="folder", folder__root="data_root"), site)


def test_a_published_set_is_not_put_into_the_project_by_default(site: Site) -> None:
    with pytest.raises(EnvironmentProblem, match="CSPOPS_DATA_ROOT is not set: the files of inat2018"):
        download.run(of(source="inat2018"), site)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_root_that_is_a_file_is_said_so(below: str, site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentProblem, match=r"file is a file: CSPOPS_DATA_ROOT=") as caught:
        download.run(of(source="inat2018"), with_root(site, tmp_path / "file" / below))
    assert caught.value.hint == "set CSPOPS_DATA_ROOT to a folder"


def test_a_folder_of_a_killed_unpacking_is_not_taken_for_the_set(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "host/inat2018"
    write_inat2018_features(root)
    left = root / ".categories.json.tar.gz.unpacking"
    left.mkdir()
    (root / "categories2018.json").rename(left / "categories2018.json")
    monkeypatch.setattr(download, "ensure", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(pytest.fail.Exception, match="fetched"):
        download.run(of(source="inat2018", inat2018__form="features"), with_root(site, root.parent))


@pytest.mark.parametrize("record", [None, '{"categories.json.tar.gz": {"url": null, "unpacked": true}}'])
def test_a_published_set_that_was_put_there_by_hand_is_taken_without_a_look_at_the_network(
    record: str | None, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "host"
    write_inat2018_features(host / "inat2018")
    if record is not None:  # an earlier look found what lay there and fetched nothing
        (host / "inat2018/checksums.json").write_text(record)
    monkeypatch.setattr(download, "ensure", lambda *_, **__: pytest.fail("asked for the published files"))
    download.run(of(source="inat2018", inat2018__form="features"), with_root(site, host))
    files = json.loads((site.out / "files.json").read_text())
    assert files["train2018.json"]["sha256"]
    assert {"0.05", "1"} <= set(json.loads((site.out / "released.json").read_text())["files"])


@pytest.mark.parametrize("left_over", ["checksums.json", "train_val2018.tar.gz.part"])
def test_a_fetch_that_was_begun_is_ended_first(
    left_over: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "host"
    write_inat2018_features(host / "inat2018")
    (host / "inat2018" / left_over).write_text(
        '{"train2018.json.tar.gz": {"size": 1, "sha256": "a", "url": "https://example.org/t"}}'
    )
    asked: list[Any] = []

    def ensure(published: Published, form: str, root: Path, **about: Any) -> dict[str, dict[str, Any]]:
        asked.append((published.name, form, root, about["parts"]))
        return {"train2018.json.tar.gz": {"size": 1, "sha256": "a", "url": "b", "licence": "c"}}

    monkeypatch.setattr(download, "ensure", ensure)
    download.run(of(source="inat2018", inat2018__form="features"), with_root(site, host))
    assert asked == [("inat2018", "features", host / "inat2018", ())]
    files = json.loads((site.out / "files.json").read_text())
    assert {"train2018.json.tar.gz", "train2018.json"} <= set(files)


def test_a_broken_file_of_a_published_set_is_named_and_nothing_is_fetched_in_its_place(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "host"
    write_inat2018_features(host / "inat2018")
    (host / "inat2018/categories2018.json").write_text("[")
    monkeypatch.setattr(download, "ensure", lambda *_, **__: pytest.fail("asked for the published files"))
    with pytest.raises(DataError, match=r"categories2018\.json is not a list of categories"):
        download.run(of(source="inat2018", inat2018__form="features"), with_root(site, host))
