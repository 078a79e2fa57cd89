"""What is said of two runs."""

from cspops.report.compared_runs import as_markdown, conclusion, metric_rows, param_rows

ROW = {
    "role": "test",
    "label_ratio": "label_5",
    "model": "combined",
    "base": 50.0,
    "base_sd": 0.2,
    "head": 48.0,
    "head_sd": 0.3,
}
DOCUMENT = {
    "head": "workspace",
    "base": "main",
    "max_drop": 0.5,
    "rows": [
        ROW | {"difference": -2.0, "low": -2.5, "high": -1.5, "verdict": "drop"},
        ROW | {"difference": -2.0, "low": None, "high": None, "head_sd": None, "verdict": "unknown"},
    ],
    "drops": 1,
    "params": [{"key": "loss", "base": "mc", "head": None}],
    "not_comparable": None,
    "notes": ["a note"],
}


def test_rows_and_the_conclusion() -> None:
    header, first, second = metric_rows(DOCUMENT)
    assert header[:5] == ["set", "labels", "model", "main", "workspace"]
    assert first == ["test", "5 %", "product", "50.00 (0.20)", "48.00 (0.30)", "-2.00", "[-2.50, -1.50]", "drop"]
    assert (second[4], second[6]) == ("48.00", "")
    assert param_rows(DOCUMENT)[1] == ["loss", "mc", "-"]
    assert conclusion(DOCUMENT) == "1 of 2 accuracies of workspace have dropped by more than 0.5 points against main."
    assert "has dropped by more than 0.5 points" in conclusion(DOCUMENT | {"drops": 0})
    assert conclusion(DOCUMENT | {"not_comparable": "They are not."}).endswith(" against main. They are not.")


def test_markdown_holds_it_all() -> None:
    text = as_markdown(DOCUMENT)
    assert text.startswith("### `workspace` against `main`\n")
    assert "| loss | mc | - |" in text
    assert text.endswith("- a note\n")
    assert "\n\n1 of 2 accuracies" in text
    assert "against main. They are not.\n\n" in as_markdown(DOCUMENT | {"not_comparable": "They are not."})
