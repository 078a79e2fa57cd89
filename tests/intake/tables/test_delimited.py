"""Text tables, against what the text was written from and against themselves in blocks of a few bytes."""

import csv
import gzip
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cspops.intake.tables.text_lines
from cspops.errors import DataError
from cspops.intake.tables.delimited import DELIMITERS, EMPTY_REST, FEWER, MORE, NUL, STRAY, TOO_LONG, UNCLOSED, Delimited, sniff

prop = settings(deadline=None, derandomize=True, max_examples=80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def read(file):
    """Every row as (line, fields of all columns, reason, note), and the remarks."""
    table = Delimited(file)
    out = []
    for got in table.records(table.names):
        fields = zip(*(got.columns[name].to_pylist() for name in table.names), strict=True)
        for i, (line, row) in enumerate(zip(got.number.to_pylist(), fields, strict=True)):
            out.append((line, list(row), got.reasons.get(i, (None,))[0], got.notes.get(i)))
    return out, table.remarks


def written(folder, data, name="t.csv"):
    file = folder / name
    file.write_bytes(data)
    return file


# --- one oddity a case: bytes -> rows as (line, fields, reason, note)

ODD = {
    "plain": (b"a,b\n1,2\n3,4\n", [(2, ["1", "2"], None, None), (3, ["3", "4"], None, None)]),
    "no line end at the end": (b"a,b\n1,2\n3,4", [(2, ["1", "2"], None, None), (3, ["3", "4"], None, None)]),
    "Windows line ends": (b"a,b\r\n1,2\r\n", [(2, ["1", "2"], None, None)]),
    "old Mac line ends": (b"a,b\r1,2\r3,4\r", [(2, ["1", "2"], None, None), (3, ["3", "4"], None, None)]),
    "mixed line ends": (b"a,b\r1,2\r\n3,4\n", [(2, ["1", "2"], None, None), (3, ["3", "4"], None, None)]),
    "UTF-8 mark": (b"\xef\xbb\xbfa,b\n1,\xc3\xa9\n", [(2, ["1", "é"], None, None)]),
    "UTF-16 little": ("\ufeffa,b\r\n1,é\r\n".encode("utf-16-le"), [(2, ["1", "é"], None, None)]),
    "UTF-16 big": ("\ufeffa,b\n1,é\n".encode("utf-16-be"), [(2, ["1", "é"], None, None)]),
    "UTF-32": ("\ufeffa,b\n1,é\n".encode("utf-32-le"), [(2, ["1", "é"], None, None)]),
    "UTF-16 without a mark": ("aa,bb\n1,2\n".encode("utf-16-le"), [(2, ["1", "2"], None, None)]),
    "cp1252 in one line": (b"a,b\n1,\xe9\n2,\xc3\xa9\n", [(2, ["1", "é"], None, None), (3, ["2", "é"], None, None)]),
    "blank lines": (b"\n\na,b\n\n1,2\n  \n\n3,4\n\n", [(5, ["1", "2"], None, None), (8, ["3", "4"], None, None)]),
    "lines of delimiters": (b"a,b\n,\n1,2\n , \n", [(3, ["1", "2"], None, None)]),
    "quoted delimiter": (b'a,b\n1,"x,y"\n', [(2, ["1", "x,y"], None, None)]),
    "quoted after a blank": (b'a, b\n1, "x,y"\n', [(2, ["1", "x,y"], None, None)]),
    "doubled quotes": (b'a,b\n1,"x ""y"""\n', [(2, ["1", 'x "y"'], None, None)]),
    "line end in quotes": (b'a,b\n1,"x\ny"\n3,4\n', [(2, ["1", "x\ny"], None, None), (4, ["3", "4"], None, None)]),
    "quote inside a field": (b'a,b\n1,5"6\n', [(2, ["1", '5"6'], None, None)]),
    "stray quotes": (b'a,b\n1,"red" oak\n3,4\n', [(2, ["1", "red oak"], None, STRAY), (3, ["3", "4"], None, None)]),
    "too many fields": (b"a,b\n1,2,3\n3,4\n", [(2, ["1", "2"], MORE, None), (3, ["3", "4"], None, None)]),
    "too many, all empty": (b"a,b\n1,2,,\n", [(2, ["1", "2"], None, EMPTY_REST)]),
    "too few fields": (b"a,b,c\n1,2\n3,4,5\n", [(2, ["1", "2", ""], FEWER, None), (3, ["3", "4", "5"], None, None)]),
    "NUL": (b"a,b\n1,\x002\n3,4\n", [(2, ["", ""], NUL, None), (3, ["3", "4"], None, None)]),
    "zeros at the end": (b"a,b\n1,2\n\0\0\0\0", [(2, ["1", "2"], None, None), (3, ["", ""], NUL, None)]),
    "quote never closed": (b'a,b\n1,"x\n3,4\n', [(2, ["", ""], UNCLOSED, None), (3, ["3", "4"], None, None)]),
    "quote never closed at the end": (b'a,b\n1,2\n3,"x', [(2, ["1", "2"], None, None), (3, ["", ""], UNCLOSED, None)]),
    "quote closed two rows on": (
        b'a,b\n1,"x\n3,4\n5,y"\n6,7\n',
        # One record of lines 2 to 4 would have the header's two fields: that is what it says.
        [(2, ["1", "x\n3,4\n5,y"], None, None), (5, ["6", "7"], None, None)],
    ),
    "quote closed in a later row": (
        b'a,b,c\n1,"x,2\n3,4,5\n6,"y",7\n',
        [(2, ["", "", ""], UNCLOSED, None), (3, ["3", "4", "5"], None, None), (4, ["6", "y", "7"], None, None)],
    ),
    "tabs, quotes mean nothing": (
        b'a\tb\tc\n1\t"red" oak\tx\n2\t"oak\tx\n3\telm"\tx\n4\t"s"\tx\n',
        [
            (2, ["1", '"red" oak', "x"], None, STRAY),
            (3, ["2", '"oak', "x"], None, STRAY),
            (4, ["3", 'elm"', "x"], None, None),
            (5, ["4", "s", "x"], None, None),
        ],
    ),
    "tabs, a quote that hides a tab": (b'a\tb\tc\n1\t"x\ty"\n', [(2, ["1", '"x', 'y"'], None, STRAY)]),
    "Excel's sep": (b"sep=|\r\na|b\r\n1,5|2\r\n", [(3, ["1,5", "2"], None, None)]),
    "decimal commas": (b"a;b\n1,5;2,5\n", [(2, ["1,5", "2,5"], None, None)]),
    "header in quotes over lines": (b'"a\nx",b\n1,2\n', [(3, ["1", "2"], None, None)]),
    "unnamed columns": (b"a,,\n1,2,3\n", [(2, ["1", "2", "2"], None, None)]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_text_is_read_as_it_was_meant_with_true_line_numbers(name, folder, monkeypatch):
    data, rows = ODD[name]
    assert read(written(folder, data))[0] == rows
    packed = folder / "t.csv.gz"
    packed.write_bytes(gzip.compress(data))
    assert read(packed)[0] == rows


REMARKS = {
    "cp1252": (b"a,b\n1,2\n1,\xe9\n1,\xc3\xa9\n1,\xe8\n", "t.csv: 2 lines are not UTF-8 and read as cp1252, from line 3 on"),
    "one cp1252 line": (b"a\n\xe9\n", "t.csv: 1 line is not UTF-8 and read as cp1252, from line 2 on"),
    "not even cp1252": (b"a\n\x81\n", "t.csv: 1 line is not UTF-8 and read as cp1252, from line 2 on"),
    "bare UTF-16": ("aa,bb\n1,2\n".encode("utf-16-be"), "t.csv: read as utf-16-be, although it has no byte order mark"),
    "delimiters only": (b"a,b\n,\n1,2\n,\n", "t.csv: 2 lines hold delimiters only and are skipped"),
}


@pytest.mark.parametrize("name", REMARKS)
def test_what_is_odd_about_the_file_is_remarked(name, folder):
    data, remark = REMARKS[name]
    assert read(written(folder, data))[1] == [remark]


def test_details_say_how_many_fields_and_that_the_file_is_cut_off(folder):
    table = Delimited(written(folder, b"a,b,c\n1,2,3,4\n5,6\n7,8"))
    (got,) = table.records(["a"])
    assert got.reasons == {
        0: (MORE, "4 fields, the header has 3"),
        1: (FEWER, "2 fields, the header has 3"),
        2: (FEWER, "2 fields, the header has 3; the file ends in it and may be cut off"),
    }


def test_a_field_beyond_the_limit_is_one_bad_row(folder):
    long = b"x" * (csv.field_size_limit() + 1)
    rows, _ = read(written(folder, b"a,b\n1," + long + b"\n3,4\n"))
    assert rows == [(2, ["", ""], TOO_LONG, None), (3, ["3", "4"], None, None)]


BAD_FILES = {
    "empty": (b"", "t.csv is empty"),
    "blank": (b"\n \r\n\n", "t.csv is empty"),
    "mark alone": (b"\xef\xbb\xbf", "t.csv is empty"),
    "column twice": (b"a,b, a\n1,2,3\n", "t.csv: the header has the column 'a' more than once"),
    "cut off gzip": (gzip.compress(b"a,b\n" + bytes(range(256)) * 30)[:-20], "t.csv: the gzip file is damaged or cut off"),
    "changed gzip": (gzip.compress(b"a,b\n1,2\n")[:-8] + b"00000000", "t.csv: the gzip file is damaged or cut off"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_table_is_refused(name, folder):
    data, message = BAD_FILES[name]
    with pytest.raises(DataError) as error:
        read(written(folder, data))
    assert error.value.message.startswith(message)


def test_a_line_without_end_is_refused(folder, monkeypatch):
    monkeypatch.setattr(cspops.intake.tables.text_lines, "BLOCK", 100)
    monkeypatch.setattr(cspops.intake.tables.text_lines, "LONGEST", 1 << 20)
    with pytest.raises(DataError, match=r"t.csv: line 2 is longer than 1 MiB: not a text table"):
        read(written(folder, b"a\n" + b"x" * (2 << 20)))


SNIFFED = {
    "a,b;c;d": ";",
    "a\tb,c": ",",  # two fields each; the comma comes first
    "a": ",",
    '"x;y;z",b': ",",
    "a|b|c": "|",
    "a\tb\tc,d": "\t",
}


@pytest.mark.parametrize("header", SNIFFED)
def test_the_delimiter_cuts_the_header_into_most_fields(header):
    assert sniff([header + "\n"]) == SNIFFED[header]


def test_of_equal_delimiters_the_one_that_cuts_the_rows_alike_wins():
    assert sniff(["a;b,c\n", "1,5;2\n", "1;2\n", "1;7\n"]) == ";"


# --- properties

FIELD = st.text(alphabet="ab,;|\t\"'\n\r é\u2028\x0b", max_size=6)


@prop
@given(
    rows=st.lists(st.lists(FIELD, min_size=3, max_size=3), max_size=8),
    delimiter=st.sampled_from(DELIMITERS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
@example(rows=[["\u2028", "\x0b", "\r\n"]], delimiter=",", end="\r")
def test_what_the_csv_module_writes_is_read_back_with_its_lines(folder, rows, delimiter, end):
    """The oracle is the text written so far: the record's first line is one more than its line ends.

    Tabs between tabs are left out: where each line has as many as the header, quotation marks mean nothing.
    """
    if delimiter == "\t":
        rows = [[field.replace("\t", " ") for field in row] for row in rows]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow("pqr")
    expected = []
    for row in rows:
        before = text.getvalue().replace("\r\n", "\n").replace("\r", "\n")
        writer.writerow(row)
        if any(row):
            expected.append((before.count("\n") + 1, row, None, None))
    got, _ = read(written(folder, text.getvalue().encode()))
    assert got == expected


@prop
@given(data=st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"\t", b" ", b"\xe9", b"\xc3\xa9", b"\0"]), max_size=40))
@example(data=[b'"', b"\n", b"a", b"\n", b"a", b'"', b",", b"a", b"\n"])
@example(data=[b"a", b",", b"a", b"\r", b"\n", b"a", b"\n"])
def test_the_size_of_the_blocks_changes_nothing(folder, data):
    file = written(folder, b"h,k\n" + b"".join(data))
    whole = read(file)
    for size in (5, 11):  # the header fits into the first block
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cspops.intake.tables.text_lines, "BLOCK", size)
            assert read(file) == whole


@prop
@given(lines=st.lists(st.text(alphabet="ab,; é", max_size=8), max_size=12))
def test_without_quotes_every_line_that_holds_anything_is_one_row(folder, lines):
    """Anything: more than blanks and commas. Rows with a reason count: nothing is lost."""
    got, _ = read(written(folder, ("h,k\n" + "".join(line + "\n" for line in lines)).encode()))
    assert [row[0] for row in got] == [i for i, line in enumerate(lines, 2) if line.replace(" ", "").replace(",", "")]
