import pyarrow as pa
import pytest

from cspops.data.splits import ROLES
from cspops.intake.judging.labels import OFFICIAL, read_roles


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("train", "train"), ("Training", "train"), ("TRAIN ", "train"), ("val", "val"), ("valid", "val"), ("validate", "val"),
        ("Validation", "val"), ("dev", "val"), ("test", "test"), ("testing", "test"), ("spatial_val", "spatial_val"),
        ("Spatial-Test", "spatial_test"), ("spatial validation", "spatial_val"), (None, None), ("", None), ("  ", None),
    ],
)  # fmt: skip
def test_usual_spellings(text, role):
    code, unknown = read_roles(pa.array([text], pa.string()))
    assert [OFFICIAL[one] if one >= 0 else None for one in code] == [role] and not unknown.any()


@pytest.mark.parametrize("text", ["trains", "buffer", "fold 1", "0", "eval", "train/val", "nan"])
def test_unknown_ones(text):
    code, unknown = read_roles(pa.array(["train", text, None]))
    assert unknown.tolist() == [False, True, False] and code.tolist() == [0, -1, -1]


def test_they_are_roles_of_the_split():
    assert set(OFFICIAL) == set(ROLES) - {"buffer"}
