"""When a difference of two runs may be that of the machines."""

from typing import Any

import pytest

from cspops.report.machine import not_comparable, of_run

PORTABLE: dict[str, Any] = {"portable": True, "threads": 1, "instruction_set": "avx2", "torch": "2.15", "numpy": "2.3"}
FAST: dict[str, Any] = {"portable": False, "threads": 2, "instruction_set": "avx2", "torch": "2.15", "numpy": "2.3", "cpu": "a"}


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (PORTABLE, PORTABLE, None),
        (FAST, FAST, None),
        (PORTABLE, PORTABLE | {"torch": "2.16"}, "torch 2.15 and 2.16"),
        (PORTABLE, PORTABLE | {"numpy": "2.4"}, "numpy 2.3 and 2.4"),
        (FAST, FAST | {"threads": 4}, "threads 2 and 4"),
        (FAST, FAST | {"cpu": "b", "instruction_set": "avx512"}, "cpu a and b, instruction set avx2 and avx512"),
        (PORTABLE, FAST, "ours was computed in portable mode and theirs was not"),
        (FAST, PORTABLE, "theirs was computed in portable mode and ours was not"),
        (None, PORTABLE, "how ours computed is unknown, since reports/run.json has no `numerics`"),
        (FAST, None, "how theirs computed is unknown"),
        (None, None, "how ours and theirs computed is unknown"),
    ],
)
def test_two_runs(ours: Any, theirs: Any, says: str | None) -> None:
    sentence = not_comparable(ours, theirs, ("ours", "theirs"))
    if says is None:
        assert sentence is None
    else:
        assert sentence is not None
        assert sentence.startswith("ours and theirs are not comparable (")
        assert says in sentence
        assert sentence.endswith("): a difference may be that of the machines.")


def test_a_run_of_stages_that_computed_in_one_way_has_that_way_and_a_mixed_one_is_like_none_other() -> None:
    assert of_run([PORTABLE, PORTABLE]) == PORTABLE
    mixed = [of_run(one) for one in ([PORTABLE, FAST], [FAST, PORTABLE], [FAST, FAST | {"threads": 4}])]
    assert not any(one["portable"] for one in mixed) and len({one["stages"] for one in mixed}) == 3
