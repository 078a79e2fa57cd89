import bz2
import hashlib
import io
import json
import re
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Handler, Server, running, status
from told import told

from cspops.errors import CspopsError, DataError, EnvironmentProblem
from cspops.intake.published import fetching, manifest, objects
from cspops.intake.published.ensure import ensure
from cspops.intake.published.manifest import MANIFESTS, PublishedFile, read_manifest
from cspops.intake.published.objects import listed

SETS = sorted(file.stem for file in MANIFESTS.glob("*.json"))
FILES = [pytest.param(name, file, id=f"{name}:{file.name}") for name in SETS for file in read_manifest(name).files]


def test_the_sets_of_the_paper_are_known() -> None:
    assert SETS == ["fmow", "inat2018"]


@pytest.mark.parametrize("name", SETS)
def test_a_manifest_says_what_a_user_must_know(name: str) -> None:
    published = read_manifest(name)
    assert published.name == name and published.licence.non_commercial
    assert "non-commercial" in published.licence.terms.lower()
    assert published.licence.address.startswith("https://") and published.page.startswith("https://")
    assert published.citation and published.sources
    assert len({file.name for file in published.files}) == len(published.files)
    assert {form for file in published.files for form in file.forms} == {"images", "features"}


@pytest.mark.parametrize(("name", "file"), FILES)
def test_what_a_manifest_says_of_a_file_can_be_fetched_and_checked(name: str, file: PublishedFile) -> None:
    assert bool(file.urls) != bool(file.by_hand)
    addresses = [*file.urls, *(file.objects.bases if file.objects else ())]
    assert all(re.fullmatch(r"https://[a-z0-9.-]+/\S+", address) for address in addresses)
    assert file.optional <= (file.by_hand is not None)
    if file.by_hand is not None:
        assert "https://" in file.by_hand
    if file.objects is not None:
        assert all(base.endswith("/") for base in file.objects.bases) and file.objects.patterns
    assert file.whole <= (len(file.gives) == 1) and file.grows >= 1
    assert not Path(file.name).is_absolute() and ".." not in Path(file.name).parts
    assert all("/" not in given for given in file.gives)
    assert file.size is None or 1_000 < file.size < 1_000_000_000_000
    for algorithm, value in file.checksums.items():
        assert re.fullmatch({"md5": r"[0-9a-f]{32}", "sha256": r"[0-9a-f]{64}"}[algorithm], value)
    if name == "inat2018" and file.urls:
        assert file.checksums  # its publisher, or TensorFlow Datasets, gives one for each


def tar_gz(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return raw.getvalue()


IMAGES = tar_gz({"pictures/a.jpg": b"A" * 5000, "pictures/b/c.jpg": b"C" * 700})
PLACES = zip_of({"x/places.json": b"[1]"})
TABLE = b"id,label\n"
TRUTH = tar_gz({"train/k/k_0/k_0_0_rgb.json": b"{}", "train/k/k_0/k_0_0_msrgb.json": b"{}", "map.json": b"[]"})
NAMES = [f"train/k/k_{n}/k_{n}_0_{kind}" for n in range(30) for kind in ("rgb.jpg", "msrgb.jpg", "rgb.json")]
WANTED = [name for name in NAMES if name.endswith("_rgb.jpg")]


class Site:
    """A publisher on loopback, a manifest of what it has, and a user's folder."""

    def __init__(self, server: Server, folder: Path, patched: pytest.MonkeyPatch) -> None:
        self.server, self.patched, self.manifests, self.root = server, patched, folder / "manifests", folder / "root" / "pets"
        self.lines: list[str] = []
        patched.setattr(manifest, "MANIFESTS", self.manifests)
        patched.setattr(fetching, "ATTEMPTS", 2)
        patched.setattr(fetching, "PAUSE", 0)
        self.manifests.mkdir()
        md5 = hashlib.md5(IMAGES).hexdigest()
        images = server.serve("/pictures.tar.gz", IMAGES)
        places = server.serve("/places.zip", PLACES)
        listing = server.serve("/listing.json.bz2", bz2.compress(json.dumps(NAMES).encode()))
        truth = server.serve("/truth.tar.gz", TRUTH)
        for name in NAMES:
            server.serve(f"/all/{name}", name.encode())
        self.files: list[dict[str, Any]] = [
            {"name": "table.csv", "forms": ["images", "features"], "urls": [server.serve("/table.csv", TABLE)]},
            {"name": "places.zip", "forms": ["images"], "urls": [places], "gives": ["places.json"]},
            {
                "name": "pictures.tar.gz", "forms": ["images"], "urls": [images], "size": len(IMAGES),
                "checksums": {"md5": md5}, "gives": ["pictures"], "grows": 100,
            },
            {"name": "feats.npy", "forms": ["features"], "by_hand": "Ask https://example.org for feats.npy."},
            {"name": "preds.npz", "forms": ["features"], "by_hand": "See https://example.org.", "optional": True},
            {
                "name": "truth.tar.gz", "forms": ["objects"], "urls": [truth], "gives": ["truth"],
                "members": ["truth/train/*_rgb.json", "truth/map.json"], "whole": True,
            },
            {
                "name": "listing.json.bz2", "forms": ["objects"], "urls": [listing],
                "objects": {"bases": [server.address("/all/")], "patterns": ["train/*_rgb.jpg"], "about": 3000},
            },
            {"name": "test.csv", "forms": ["images"], "part": "test", "urls": [server.serve("/test.csv", b"t")]},
        ]  # fmt: skip

    def ensure(self, form: str, *, parts: Sequence[str] = (), free: int = 10**12) -> dict[str, dict[str, Any]]:
        licence = {"name": "L", "terms": "No selling.", "address": "https://example.org/l", "non_commercial": True}
        about = {
            "name": "pets",
            "title": "Pets",
            "page": "https://example.org",
            "licence": licence,
            "citation": "A. B.",
            "sources": "",
        }
        (self.manifests / "pets.json").write_text(json.dumps({**about, "files": self.files}))
        self.server.asked.clear()
        self.lines.clear()
        self.patched.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=free))
        with told(self.lines.append):
            return ensure(read_manifest("pets"), form, self.root, parts=parts)

    def fails(self, form: str, kind: type[CspopsError], **how: Any) -> CspopsError:
        with pytest.raises(kind) as caught:
            self.ensure(form, **how)
        assert type(caught.value) is kind and caught.value.hint
        return caught.value

    @property
    def asked(self) -> list[str]:
        return [asked.path for asked in self.server.asked]

    def here(self) -> dict[str, bytes]:
        """The files that a user sees, without the records."""
        files = (path for path in self.root.rglob("*") if path.is_file() and path.name not in ("checksums.json", ".lock"))
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with running() as server:
        yield Site(server, tmp_path, monkeypatch)


UNPACKED = {"table.csv": TABLE, "places.json": b"[1]", "pictures/a.jpg": b"A" * 5000, "pictures/b/c.jpg": b"C" * 700}


def test_everything_is_fetched_once_and_archives_go(site: Site) -> None:
    facts = site.ensure("images")
    assert site.here() == UNPACKED
    assert site.asked == ["/table.csv", "/places.zip", "/pictures.tar.gz"]
    assert facts["pictures.tar.gz"] == {
        "size": len(IMAGES),
        "sha256": hashlib.sha256(IMAGES).hexdigest(),
        "url": site.server.address("/pictures.tar.gz"),
        "licence": "L",
    }
    assert site.ensure("images") == facts and site.asked == [] and site.lines == []


def test_the_licence_comes_before_the_first_byte(site: Site) -> None:
    asked_at: list[int] = []
    with told(lambda line: asked_at.append(len(site.server.asked))):
        site.ensure("images")
    assert "NON-COMMERCIAL" in site.lines[1] and "https://example.org/l" in site.lines[1] and "No selling." in site.lines[2]
    assert asked_at[:4] == [0, 0, 0, 0]


def test_a_part_is_fetched_when_asked_for(site: Site) -> None:
    site.ensure("images")
    assert "test.csv" in site.ensure("images", parts=["test"]) and site.asked == ["/test.csv"]


@pytest.mark.parametrize("there", [0, 50])
def test_no_byte_is_fetched_onto_a_disk_that_is_too_small(site: Site, there: int) -> None:
    """Of known size is the archive alone: what is missing of it, and a hundred times its size; nothing before needs room."""
    site.root.mkdir(parents=True)
    (site.root / "pictures.tar.gz.part").write_bytes(IMAGES[:there])
    error = site.fails("images", EnvironmentProblem, free=101 * len(IMAGES) - there - 1)
    assert re.search(r"Pets \(images\) needs about .* in .*pets, where .* are free: 1 bytes are missing", error.message)
    assert "CSPOPS_DATA_ROOT" in (error.hint or "") and site.asked == [] and list(site.here()) == ["pictures.tar.gz.part"]


def test_archives_put_there_by_hand_are_taken_and_stay(site: Site) -> None:
    site.root.mkdir(parents=True)
    (site.root / "pictures.tar.gz").write_bytes(IMAGES)
    (site.root / "table.csv").write_bytes(b"mine")  # nothing is published to hold it to
    facts = site.ensure("images")
    assert site.asked == ["/places.zip"]
    assert site.here() == {**UNPACKED, "pictures.tar.gz": IMAGES, "table.csv": b"mine"}
    assert facts["pictures.tar.gz"]["url"] is None and facts["pictures.tar.gz"]["size"] == len(IMAGES)


@pytest.mark.parametrize("data", [IMAGES[:-1], IMAGES[:-1] + b"x"])
def test_a_wrong_archive_put_there_by_hand_is_named_and_kept(site: Site, data: bytes) -> None:
    site.root.mkdir(parents=True)
    (site.root / "pictures.tar.gz").write_bytes(data)
    error = site.fails("images", DataError)
    assert str(site.root / "pictures.tar.gz") in error.message and "delete" in (error.hint or "")
    assert (site.root / "pictures.tar.gz").read_bytes() == data and "pictures" not in {p.name for p in site.root.iterdir()}


def test_what_was_unpacked_by_hand_is_taken(site: Site) -> None:
    (site.root / "pictures").mkdir(parents=True)
    (site.root / "places.json").write_bytes(b"[2]")
    facts = site.ensure("images")
    assert site.asked == ["/table.csv"] and (site.root / "places.json").read_bytes() == b"[2]"
    assert facts["pictures.tar.gz"] == {"size": None, "sha256": None, "url": None, "licence": "L"}


def test_what_lies_one_folder_deeper_is_not_fetched(site: Site) -> None:
    """As the sources find it there; a folder that a killed unpacking left holds nothing that counts."""
    (site.root / "a/pictures").mkdir(parents=True)
    (site.root / "b").mkdir()
    (site.root / "b/table.csv").write_bytes(TABLE)
    (site.root / ".places.zip.unpacking").mkdir()
    (site.root / ".places.zip.unpacking/places.json").write_bytes(b"[")
    facts = site.ensure("images")
    assert site.asked == ["/places.zip"] and facts["table.csv"]["sha256"] == hashlib.sha256(TABLE).hexdigest()
    assert not (site.root / "pictures").exists() and not (site.root / "table.csv").exists()
    assert site.ensure("images") == facts and site.asked == []


def test_an_archive_one_folder_deeper_is_unpacked_and_stays(site: Site) -> None:
    (site.root / "a").mkdir(parents=True)
    (site.root / "a/pictures.tar.gz").write_bytes(IMAGES)
    # as after a first fetch whose pictures were deleted
    known = {"pictures.tar.gz": {"size": None, "sha256": None, "url": "https://example.org"}}
    (site.root / "checksums.json").write_text(json.dumps(known))
    message = site.fails("images", EnvironmentProblem, free=100 * len(IMAGES) - 1).message
    assert "1 bytes are missing" in message  # what it unfolds to, a hundred times its size; itself it is there
    site.ensure("images")
    assert site.asked == ["/table.csv", "/places.zip"] and site.here() == {**UNPACKED, "a/pictures.tar.gz": IMAGES}


@pytest.mark.parametrize(("form", "kind"), [("images", EnvironmentProblem), ("features", DataError)])
def test_a_call_that_fetched_nothing_and_failed_leaves_no_record(site: Site, form: str, kind: type[CspopsError]) -> None:
    """The disk is too small, or a file has to be put there by hand; what lies there is written down by the next call."""
    site.root.mkdir(parents=True)
    (site.root / "table.csv").write_bytes(TABLE)
    site.fails(form, kind, free=0)
    assert not (site.root / "checksums.json").exists()
    site.ensure("images")
    entries = json.loads((site.root / "checksums.json").read_text())
    assert {name: entry["url"] is None for name, entry in entries.items()} == {
        "table.csv": True,
        "places.zip": False,
        "pictures.tar.gz": False,
    }


def test_a_file_without_an_address_is_asked_for_before_anything_is_fetched(site: Site) -> None:
    error = site.fails("features", DataError)
    assert str(site.root / "feats.npy") in error.message and "preds.npz" not in error.message
    assert error.hint == "Ask https://example.org for feats.npy." and site.asked == []
    site.root.mkdir(parents=True)
    (site.root / "feats.npy").write_bytes(b"features")
    facts = site.ensure("features")
    assert site.asked == ["/table.csv"] and list(facts) == ["table.csv", "feats.npy"]
    assert facts["feats.npy"]["sha256"] == hashlib.sha256(b"features").hexdigest()
    assert any("preds.npz is not there" in line for line in site.lines)


def test_after_a_failure_the_rest_is_fetched(site: Site) -> None:
    site.server.files["/pictures.tar.gz"].answers = [status(503)] * 2
    assert "pictures.tar.gz" in site.fails("images", EnvironmentProblem).message
    site.ensure("images")
    assert site.asked == ["/pictures.tar.gz"] and site.here() == UNPACKED


def test_a_broken_archive_of_the_publisher_is_named(site: Site) -> None:
    site.server.files["/places.zip"].data = PLACES[:-30]
    error = site.fails("images", DataError)
    assert "places.zip is not unpacked: it is cut or broken" in error.message and "delete" in (error.hint or "")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"table.csv": 1}', '{"table.csv": {}}', '{"table.csv": {"size": "9", "sha256": 1, "url": 2}}', "\xff"],
)
def test_a_record_that_is_broken_is_dropped_with_a_warning_and_the_files_are_looked_at_again(
    site: Site, said: list[str], text: str
) -> None:
    facts = site.ensure("images")
    (site.root / "checksums.json").write_text(text, encoding="latin-1")
    del said[:], site.asked[:]
    again = site.ensure("images")
    assert site.asked == [] and any(line.startswith(f"{site.root / 'checksums.json'} cannot be read (") for line in said)
    assert {name: one["sha256"] for name, one in again.items()} == {
        name: one["sha256"] if name == "table.csv" else None for name, one in facts.items()
    }


def test_two_processes_do_not_write_into_each_other(site: Site) -> None:
    """The second waits for the first (a thread with its own open file locks as a process does) and finds all there."""
    waiting, others = threading.Event(), list[str]()

    def late(handler: Handler) -> None:
        waiting.wait(20)
        handler.do_GET()

    def hear(line: str) -> None:
        others.append(line)
        if "waiting" in line:
            waiting.set()

    site.server.files["/table.csv"].answers = [late]
    first = threading.Thread(target=site.ensure, args=("images",))
    first.start()
    while not site.server.asked:
        time.sleep(0.01)
    with told(hear):
        ensure(read_manifest("pets"), "images", site.root)
    first.join()
    assert any("waiting" in line for line in others) and site.asked.count("/table.csv") == 2  # once, noted twice
    entries = json.loads((site.root / "checksums.json").read_text())
    assert all(entry["url"] for entry in entries.values())  # the second's own, older record does not replace the first's
    assert site.here() == UNPACKED


OBJECTS = {name: name.encode() for name in WANTED}
GIVEN = {"truth/train/k/k_0/k_0_0_rgb.json": b"{}", "truth/map.json": b"[]"}


def test_a_listing_brings_the_objects_that_are_wanted(site: Site) -> None:
    facts = site.ensure("objects")
    here = site.here()
    assert {name: here[name] for name in here if name.startswith("tr")} == {**OBJECTS, **GIVEN}
    assert facts["listing.json.bz2"]["objects"] == 30
    assert sorted(site.asked[2:]) == sorted(f"/all/{name}" for name in WANTED)
    assert site.ensure("objects") == facts and site.asked == []


def test_a_listing_goes_on_where_it_stopped(site: Site) -> None:
    """Three objects fail; all others come; the next run fetches the three."""
    lost = [WANTED[3], WANTED[7], WANTED[20]]
    for name in lost:
        site.server.files[f"/all/{name}"].answers = [status(404)]
    error = site.fails("objects", EnvironmentProblem)
    assert "3 of 30 objects failed" in error.message and "404" in error.message
    assert set(site.here()) & set(WANTED) == set(WANTED) - set(lost)
    site.ensure("objects")
    assert sorted(site.asked) == sorted(f"/all/{name}" for name in lost)
    assert {name: site.here()[name] for name in WANTED} == OBJECTS


def test_objects_that_keep_failing_end_the_run_early(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the third failure nothing new is begun; 16 may be under way."""
    monkeypatch.setattr(objects, "MOST_FAILURES", 3)
    for name in WANTED:
        site.server.files[f"/all/{name}"].answers = [status(403)] * 9
    assert "403" in site.fails("objects", EnvironmentProblem).message
    assert sum(path.startswith("/all/") for path in site.asked) <= 3 + 16


def test_objects_put_there_by_hand_stay_and_the_disk_is_checked_for_the_others(site: Site) -> None:
    """3000 bytes for 30 objects, of which 10 are missing: 1000."""
    for name in WANTED[:20]:
        (site.root / name).parent.mkdir(parents=True, exist_ok=True)
        (site.root / name).write_bytes(b"mine")
    (site.root / "truth").mkdir()
    assert "1 bytes are missing" in site.fails("objects", EnvironmentProblem, free=999).message
    site.ensure("objects", free=1000)
    assert site.asked.count("/listing.json.bz2") == 0 and len(site.asked) == 10 and site.here()[WANTED[0]] == b"mine"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[", "cannot be read"),
        (b'{"a": 1}', "no list of names"),
        (b"[1]", "no list of names"),
        (b'["b/a"]', "names nothing like"),
        (b'["a/../../b"]', "leads out"),
        (b"\xff", "cannot be read"),
        (b"", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
@pytest.mark.parametrize("name", ["l.json", "l.json.bz2"])
def test_bad_listings(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(bz2.compress(data) if name.endswith("bz2") else data)
    with pytest.raises(DataError, match=told) as caught:
        listed(tmp_path / name, ["a/*"])
    assert name in caught.value.message and "delete" in (caught.value.hint or "")
