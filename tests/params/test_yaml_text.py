"""Every text becomes plain values or one sentence, at once."""

import time
import warnings

import pytest

from cspops.params.yaml_text import NotReadable, read_yaml

LAUGHS = 'l0: &l0 ["lol", "lol"]\n' + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 10))
LAUGHING_MAPS = "l0: &l0 {a: 1}\n" + "".join(
    f"l{i}: &l{i} {{{', '.join(f'k{k}: *l{i - 1}' for k in range(9))}}}\n" for i in range(1, 10)
)
LAUGHING_MERGES = "l0: &l0 {a: 1}\n" + "".join(f"l{i}: &l{i} {{<<: [{', '.join([f'*l{i - 1}'] * 9)}]}}\n" for i in range(1, 10))
OLD = "%YAML 1.1\n---\n"
REFUSED = [
    ("seed: " + "9" * 5000, r"\(seed, line 1\): a number of 5,000 characters"),
    ("seed: 0x" + "f" * 5000, r"\(seed, line 1\): a number of 5,002"),
    ("a:\n  b: -0x" + "f" * 5000, r"\(a.b, line 2\): a number of"),
    ("seed: 0o" + "7" * 5000, "a number of"),
    (OLD + "seed: 0b" + "1" * 5000, "a number of"),
    (OLD + "seed: 1" + ":59" * 5000, "a number of"),
    ("seed: 1" + "0" * 5000 + ".5", "a number of"),
    ("? " + "9" * 1000 + "\n: 1", r"\(line 1\): a number of"),
    ("seed: " + "[" * 1000 + "]" * 1000, "nested more than 32 deep"),
    ("seed: " + "[" * 100_000, "nested more than 32 deep"),
    ("seed: " + "{a: " * 20_000, "nested more than 32 deep"),
    ("? " * 20_000, "nested more than 32 deep"),
    ("- " * 20_000, "nested more than 32 deep"),
    ("\n".join(" " * i + "a:" for i in range(300)), r"\(line 32\): nested more than 32 deep"),
    ("loss: 2024-13-45", r"\(loss, line 1\): '2024-13-45' is not a date"),
    ("loss: 2024-01-01T25:61:61Z", "is not a date"),
    ("2024-13-45: 1", r"\(line 1\): '2024-13-45' is not a date"),
    ("a: [1, 2024-01-01T00:00:00+99:99]", r"\(a.1, line 1\): .* is not a date"),
    ("seed: !!int x", "'x' is not a whole number"),
    ('seed: !!int ""', "'' is not a whole number"),
    ("seed: !!float x", "'x' is not a number"),
    ("merge_labels: !!bool x", "'x' is not true or false"),
    ("a: !!timestamp x", "'x' is not a date"),
    ("a: !!binary é%", "is not base64"),
    ("a: !!python/name:os.system", "has a tag that is not known here"),
    ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ("a: !mine x", "has a tag that is not known here, !mine"),
    ("a: !!int [1]", "expected a scalar"),
    ("a: !!map x", "expected a mapping"),
    ("a: {<<: 3}", "for merging"),
    ("a: {<<: [3]}", "for merging"),
    ("<<: *a", "undefined alias"),
    ("a: &a [*a]", r"\(a.0, line 1\): refers to itself"),
    ("a: &a {? *a : 1}", "refers to itself"),
    ("a: &a {<<: *a}", "refers to itself"),
    (LAUGHS, r"\(l4, line 5\): more than 4,000 keys and values where aliases"),
    (LAUGHING_MAPS, "where aliases"),
    (LAUGHING_MERGES, "where aliases"),
    ("a: [" + "1, " * 40_000 + "]", "more than 4,000 keys and values"),
    ("a: " + "x" * 200_000, "200,003 characters"),
    ("a: 1\nb: 2\na: 3", r"\(line 3\): found duplicate key"),
    ("? {a: b}\n: 1", "unhashable"),
    ("a: 1\nb: \x00", r"\(line 2\): unacceptable character"),
    ("a: \x1b[31m", "unacceptable character"),
    ("a: 1\n---\nb: 2", "another document"),
    ("%YAML 3.0\n---\na: 1", "version"),
    ("a: [1", "expected"),
    ("a: *b", "undefined alias"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[repr(text[:24]) for text, _ in REFUSED])
def test_what_cannot_be_read_is_one_sentence_at_once(text: str, says: str) -> None:
    begun = time.process_time()
    with pytest.raises(NotReadable, match=says) as caught:
        read_yaml(text)
    assert time.process_time() - begun < 1
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


READ = [
    ("", None),
    ("- 1", [1]),
    ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ("a: &x [1]\nb: *x\nc: *x", {"a": [1], "b": [1], "c": [1]}),
    ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
    ("a: 1e999", {"a": float("inf")}),
    ("\ufeffa: 1", {"a": 1}),
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_what_yaml_allows_is_read_without_a_python_warning(text: str, value: object) -> None:
    with warnings.catch_warnings(action="error"):
        assert read_yaml(text) == value
