import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feature_files import write_features
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.data.features import Features, fingerprint, read_features
from cspops.errors import DataError
from cspops.files import sha256_of

IDS = [f"o{row}" for row in range(10)]
MATRIX = np.arange(40, dtype=np.float16).reshape(10, 4) / 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of 4, 4 and 2 rows."""
    write_features(tmp_path, IDS, MATRIX, rows_per_shard=4)
    return tmp_path


ROWS: dict[str, np.ndarray | slice] = {
    "all": slice(None),
    "some": slice(3, 9, 2),
    "none": np.empty(0, dtype=np.int64),
    "in any order": np.array([9, 0, 4, 4, 3]),
    "a mask": np.arange(10) % 3 == 0,
    "an empty mask": np.zeros(10, dtype=bool),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("rows_per_shard", [1, 4, 5, 10, 99])
def test_rows_are_those_of_one_matrix_however_it_is_cut(tmp_path: Path, rows: np.ndarray | slice, rows_per_shard: int) -> None:
    write_features(tmp_path, IDS, MATRIX, rows_per_shard=rows_per_shard)
    features = read_features(tmp_path, IDS)
    assert features.shape == (10, 4) and len(features) == 10
    assert features[rows].dtype == np.float16
    assert np.array_equal(features[rows], MATRIX[rows])


def test_only_the_shards_of_the_rows_asked_for_are_read(folder: Path) -> None:
    class Untouchable(np.ndarray):
        def __getitem__(self, rows: object) -> None:
            raise AssertionError("read")

    features = read_features(folder, IDS)
    shards = (features.shards[0].view(Untouchable), features.shards[1], features.shards[2].view(Untouchable))
    assert np.array_equal(Features(4, 4, shards)[np.array([7, 5])], MATRIX[[7, 5]])


def test_no_observations_have_no_shards(tmp_path: Path) -> None:
    write_features(tmp_path, [], np.empty((0, 4), np.float16))
    assert read_features(tmp_path, [])[:].shape == (0, 4)


def test_what_is_read_cannot_be_written(folder: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_features(folder, IDS).shards[0][0, 0] = 1


@pytest.mark.parametrize("ids", [IDS[::-1], IDS[:-1], [*IDS, "o10"], ["O0", *IDS[1:]], []])
def test_features_of_other_observations_are_refused(folder: Path, ids: list[str]) -> None:
    with pytest.raises(DataError, match=r"holds the features of other observations") as caught:
        read_features(folder, ids)
    assert caught.value.hint == "dvc repro featurize"


def cut(file: Path, by: int) -> None:
    file.write_bytes(file.read_bytes()[:-by])


def with_index(folder: Path, **changes: object) -> None:
    file = folder / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


SHARD = "00001.npy"
HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing shard": (lambda folder: (folder / SHARD).unlink(), f"{SHARD} is missing"),
    "cut shard": (lambda folder: cut(folder / SHARD, 2), f"{SHARD} is broken: "),
    "shard cut within its header": (lambda folder: cut(folder / SHARD, 100), f"{SHARD} is broken: "),
    "empty shard": (lambda folder: (folder / SHARD).write_bytes(b""), f"{SHARD} is broken: "),
    "longer shard": (
        lambda folder: (folder / SHARD).write_bytes((folder / SHARD).read_bytes() + b"xx"),
        f"{SHARD} is broken: 34 bytes of features, not 32",
    ),
    "no array": (lambda folder: (folder / SHARD).write_bytes(b"PK" * 99), f"{SHARD} is broken: "),
    "a folder": (lambda folder: ((folder / SHARD).unlink(), (folder / SHARD).mkdir()), f"{SHARD} is broken: "),
    "other rows": (lambda folder: np.save(folder / SHARD, MATRIX[:3]), r"not float16 \(4, 4\)"),
    "other width": (lambda folder: np.save(folder / SHARD, MATRIX[:4, :3]), r"not float16 \(4, 4\)"),
    "other type": (lambda folder: np.save(folder / SHARD, MATRIX[:4].astype("float32")), r"float32 \(4, 4\), not float16"),
    "another order": (lambda folder: np.save(folder / SHARD, MATRIX[:4].astype(">f2")), r"not float16"),
    "no index": (lambda folder: (folder / "index.json").unlink(), r"index\.json is missing"),
    "empty index": (lambda folder: (folder / "index.json").write_text(""), r"index\.json is broken"),
    "index without shards": (lambda folder: with_index(folder, shards=[]), r"its shards do not hold 10 rows"),
    "index of other shards": (lambda folder: with_index(folder, rows_per_shard=5), r"its shards do not hold 10 rows"),
    "index of shards of nothing": (lambda folder: with_index(folder, rows_per_shard=0), r"its shards do not hold 10 rows"),
    "index of another type": (lambda folder: with_index(folder, dtype="float32"), r"index\.json is broken: dtype"),
    "index of another width": (lambda folder: with_index(folder, width=3), r"00000\.npy is broken: .* not float16 \(4, 3\)"),
}


@pytest.mark.parametrize(("harm", "says"), HARM.values(), ids=HARM)
def test_what_is_missing_cut_or_altered_is_a_sentence_that_names_the_file(
    folder: Path, harm: Callable[[Path], object], says: str
) -> None:
    harm(folder)
    with pytest.raises(DataError, match=says) as caught:
        read_features(folder, IDS)
    assert caught.value.hint == "dvc repro featurize" and "\n" not in caught.value.message


def test_the_index_says_what_the_shards_are(folder: Path) -> None:
    hashes = [sha256_of(folder / f"0000{number}.npy") for number in range(3)]
    assert json.loads((folder / "index.json").read_text()) == {
        "rows": 10,
        "width": 4,
        "dtype": "float16",
        "rows_per_shard": 4,
        "fingerprint": hashlib.sha256("\n".join(IDS).encode()).hexdigest(),
        "shards": [{"rows": rows, "sha256": sha256} for rows, sha256 in zip((4, 4, 2), hashes, strict=True)],
    }
    assert np.array_equal(np.load(folder / SHARD), MATRIX[4:8])


ids = st.lists(st.text("abc0_", min_size=1, max_size=4), max_size=5)


@settings(deadline=None, derandomize=True)
@given(ids, ids)
def test_fingerprints_agree_for_equal_lists_only(a: list[str], b: list[str]) -> None:
    assert (fingerprint(a) == fingerprint(b)) == (a == b or (len(a) + len(b) <= 1 and "" in a + b))
