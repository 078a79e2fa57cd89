"""Tables on the terminal: names as they are, numbers on one line, and parts where all is too wide."""

import re

import pytest

from cspops.commands.layout import JOINED, ending, show

MODELS = ("image", "location", "combined", "pool")


@pytest.fixture
def printed(monkeypatch, capsys):
    """Return what prints a table at a width, and returns its lines."""

    def run(columns, *arguments, **options):
        monkeypatch.setenv("COLUMNS", str(columns))
        show(*arguments, **options)
        return capsys.readouterr().out.rstrip("\n").split("\n")

    return run


def test_a_table_shows_names_as_they_are(printed):
    """No markup, no emoji, and lines only where a cell has several."""
    rows = [["[red]h[/]", "n"], ["a\nb \\[x] :warning:", "1"], [["one", "t\x07wo"], "2"]]
    title, header, rule, *body = printed(80, "[b]t\x1b", rows, text_columns=1)
    assert (title, header.split()) == (r"[b]t\x1b", ["[red]h[/]", "n"])
    assert set(rule) == {"─"}
    assert [" ".join(line.split()) for line in body] == [r"a\nb \[x] :warning: 1", "one 2", r"t\x07wo"]


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_numbers_and_intervals_stay_on_one_line_and_every_part_names_its_rows(printed, columns):
    interval = "+12.15 [+10.44, +13.74]"
    header = ["model", *(f"{ratio} %" for ratio in (0.5, 2, 5, 10, 20, 100))]
    lines = printed(columns, "t", [header, ["CSP-MC-BLD minus Img. Only", *[interval] * 6]], text_columns=1)
    assert max(map(len, lines)) <= columns
    assert sum(line.count(interval) for line in lines) == 6
    parts = sum(line.startswith("model") for line in lines)
    assert parts == sum(line.startswith("CSP-MC-BLD") for line in lines) > 1
    assert not re.search(r"\[[^\]]*$", "\n".join(lines), re.MULTILINE)


def test_parts_are_alike(printed):
    lines = printed(80, "", [["a", *"bcdefg"], ["x", *["12345678901234"] * 6]], text_columns=1)
    assert [line.split() for line in lines if line.startswith("a")] == [["a", "b", "c", "d"], ["a", "e", "f", "g"]]


def test_texts_are_wrapped_between_words_and_headers_of_numbers_before_them(printed):
    rows = [["name", "most often taken for"], ["Quercus robur subspecies pedunculiflora of the plains", "1"]]
    assert printed(66, "", rows, text_columns=1)[-1].split("  ")[0] == rows[1][0]
    short = printed(40, "", rows, text_columns=1)
    assert short[-2:] == ["Quercus robur subspecies               1", "pedunculiflora of the plains"]


def test_a_guess_is_not_broken(printed):
    cell = f"Quercus{JOINED}robur{JOINED}0.53, Fagus{JOINED}sylvatica{JOINED}0.21, Acer{JOINED}campestre{JOINED}0.20"
    lines = printed(50, "", [["where", "pool"], ["a.jpg", cell]], text_columns=2)
    assert [line[7:] for line in lines[2:]] == ["Quercus robur 0.53, Fagus sylvatica 0.21,", "Acer campestre 0.20"]


PHOTOS = [
    ["where", "position", "pool", "image"],
    ["/data/2023/garden/DSCN0010.jpg", "8.5 47.4 (given)", "oak 0.75", "fir 0.50"],
]


@pytest.mark.parametrize(
    ("columns", "header", "name"),
    [
        (80, ["where", "position", "pool", "image"], "/data/2023/garden/DSCN0010.jpg"),
        (62, ["where", "position", "pool", "image"], ".../garden/DSCN0010.jpg"),
        (50, ["where", "position", "pool"], "/DSCN0010.jpg"),
        (40, ["where", "pool"], "DSCN0010.jpg"),
    ],
)
def test_a_path_keeps_the_name_of_the_file_and_other_columns_go_before_it(printed, columns, header, name):
    lines = printed(columns, "", PHOTOS, text_columns=4, paths=0, optional=("image", "position"))
    assert lines[0].split() == header
    assert lines[2].split("  ")[0].endswith(name)


def test_the_columns_left_out_are_named(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "50")
    assert show("", PHOTOS, text_columns=4, paths=0, optional=("image", "position")) == ["image"]


@pytest.mark.parametrize(
    ("text", "wide", "shown"),
    [
        ("a/b.jpg", 7, "a/b.jpg"),
        ("/aa/bb/c.jpg", 12, "/aa/bb/c.jpg"),
        ("/aa/bb/c.jpg", 11, ".../c.jpg"),
        ("/aaaaa/bb/c.jpg", 13, ".../bb/c.jpg"),
        ("/aa/bb/c.jpg", 1, ".../c.jpg"),
        ("a long sentence", 5, "a long sentence"),
    ],
)
def test_of_a_path_the_end_is_kept(text, wide, shown):
    assert ending(text, wide=wide) == shown


def test_texts_that_do_not_fit_side_by_side_are_printed_in_parts_behind_the_first(printed):
    words = ["pretrained" * 2, "self-supervision-x" * 1, "torchvision:network1"]
    lines = printed(60, "", [["features", "weights", "pre-training", "network"], ["squeezenet.pth", *words]], text_columns=4)
    assert [line.split() for line in lines if line.startswith("features")] == [
        ["features", "weights", "pre-training"],
        ["features", "network"],
    ]
    assert all(word in "\n".join(lines) for word in words)
