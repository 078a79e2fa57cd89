import os

import pytest

from cspops.errors import DataError, ParamsError
from cspops.intake.sources.tree import remarks, walk

JPEG = b"\xff\xd8\xff\xe0"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def planted(root, *paths, content=b""):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def said(root, pattern="**/*"):
    return remarks(walk(root, pattern), pattern)


def test_images_are_sorted_by_their_whole_path(tmp_path):
    # By characters "-" < "." < "/" < "a": not the order in which the folders are met.
    paths = ["a-b/1.jpg", "a.jpg", "a/z.jpg", "ab.jpg", "a/b/c/1.jpg", "Z.jpg", "10.jpg", "9.jpg"]
    assert walk(planted(tmp_path, *paths), "**/*").images == sorted(paths)


def test_the_order_of_the_file_system_does_not_matter(tmp_path, monkeypatch):
    planted(tmp_path, *[f"{folder}/{n}.jpg" for folder in "cab" for n in range(5)], ".hidden", "a.txt")
    expected = walk(tmp_path, "**/*")
    scan = os.scandir

    class Backwards(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", lambda path: Backwards(sorted(scan(path), key=lambda entry: entry.name, reverse=True)))
    assert walk(tmp_path, "**/*") == expected


def test_the_suffix_or_the_first_bytes_of_an_image_are_enough_and_other_formats_are_not_forgotten(tmp_path):
    names = ["a.jpg", "b.JPG", "c.jpeg", "d.jpe", "e.jfif", "f.png", "g.tif", "h.TIFF", "i.webp", "j.gif", "k.bmp"]
    names += ["l.heic", "m.HEIF", "n.HIF", "o.AVIF"]
    planted(tmp_path, *names)
    heads = [JPEG, b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF89a", HEIC]
    for number, head in enumerate(heads):
        by_head = [f"{number}", f"{number}.dat", f"{number}.jp2", f"{number}.jpg.bak"]
        names += by_head
        planted(tmp_path, *by_head, content=head + bytes(8))
    planted(tmp_path, "raw.nef", "raw.DNG", content=b"II*\0" + bytes(8))
    planted(tmp_path, "jpeg.NEF", content=JPEG)
    planted(tmp_path, "without a suffix", content=b"\0\0\0\x0cjP  \r\n\x87\n")
    planted(tmp_path, "broken.jxl", content=b"another")
    planted(tmp_path, "empty.cr2")
    unread = {
        "raw.nef": "a raw file of a camera: export it as JPEG or TIFF",
        "raw.DNG": "a raw file of a camera: export it as JPEG or TIFF",
        "without a suffix": "JPEG 2000: convert it to JPEG or PNG",
        "broken.jxl": "text that begins with 'another'",
        "empty.cr2": "an empty file",
    }
    tree = walk(tmp_path, "**/*")
    assert (tree.images, tree.unread) == (sorted([*names, *unread, "jpeg.NEF"]), unread)


def test_what_is_left_out_is_counted(tmp_path):
    planted(tmp_path, "a.jpg", "b/c.txt", "d.TXT", "e.csv", "README", ".DS_Store", "b/.DS_Store", "Thumbs.db", content=b"words")
    planted(tmp_path, "__MACOSX/x.jpg", ".cache/y.jpg", "b/._a.jpg", content=JPEG)
    assert walk(tmp_path, "**/*").images == ["a.jpg"]
    assert said(tmp_path) == [
        "files that are not images, left out: 2 .txt, 1 without a suffix, 1 .csv",
        "hidden and system files and folders, left out: 2 .DS_Store, 1 ._a.jpg, 1 .cache, 1 Thumbs.db, 1 __MACOSX",
    ]


def test_many_kinds_are_counted_too(tmp_path):
    planted(tmp_path, "a.jpg", *[f"x.{kind}" for kind in "abcdefg"])
    assert said(tmp_path) == ["files that are not images, left out: 1 .a, 1 .b, 1 .c, 1 .d, 1 .e and 2 more"]


def test_a_clean_tree_is_not_remarked_on(tmp_path):
    assert said(planted(tmp_path, "a/b.jpg")) == []


PATTERNS = {
    "**/*": ["1.jpg", "a/2.jpg", "a/b/3.png", "c/4.png"],
    "*": ["1.jpg"],
    "*/*": ["a/2.jpg", "c/4.png"],
    "a/**": ["a/2.jpg", "a/b/3.png"],
    "a/**/*": ["a/2.jpg", "a/b/3.png"],
    "**/*.jpg": ["1.jpg", "a/2.jpg"],
    "**/b/*": ["a/b/3.png"],
    "**/[34].p?g": ["a/b/3.png", "c/4.png"],
    "**": ["1.jpg", "a/2.jpg", "a/b/3.png", "c/4.png"],
    "[!a]/*": ["c/4.png"],
    "a*": [],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_pattern(tmp_path, pattern):
    planted(tmp_path, *PATTERNS["**/*"], "x.txt")
    tree = walk(tmp_path, pattern)
    assert tree.images == PATTERNS[pattern]
    assert tree.left_out == 4 - len(PATTERNS[pattern])
    assert tree.others[".txt"] == (pattern in ("**/*", "*", "**"))
    if tree.left_out:
        assert (
            remarks(tree, pattern)[-1]
            == f"images that dataset.folder.pattern {pattern!r} does not fit, left out: {tree.left_out}"
        )


@pytest.mark.parametrize("pattern", ["/photos/*", "../*", "a//b", "a/", "./*"])
def test_a_pattern_that_is_none(tmp_path, pattern):
    with pytest.raises(ParamsError, match=r"dataset\.folder\.pattern .* is not a pattern of paths below the folder"):
        walk(tmp_path, pattern)


def test_the_side_car_is_no_image_and_no_oddity(tmp_path):
    tree = walk(planted(tmp_path, "a.jpg", "b/table.csv"), "**/*", leave_out="b/table.csv")
    assert (tree.images, remarks(tree, "**/*")) == (["a.jpg"], [])


def test_links(tmp_path):
    outside = planted(tmp_path / "outside", "o.jpg", "deep/p.jpg")
    root = planted(tmp_path / "root", "a/b/1.jpg")
    (root / "linked").symlink_to(outside)
    (root / "a/b/up").symlink_to(root / "a")
    (root / "a/b/top").symlink_to(root)
    (outside / "deep/back").symlink_to(root / "linked")
    (root / "file.jpg").symlink_to(outside / "o.jpg")
    (root / "nowhere.jpg").symlink_to(tmp_path / "nothing")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "self").symlink_to(root / "self")
    tree = walk(root, "**/*")
    assert tree.images == ["a/b/1.jpg", "file.jpg", "linked/deep/p.jpg", "linked/o.jpg", "nowhere.jpg", "self.jpg"]
    assert tree.loops == ["a/b/top", "a/b/up", "linked/deep/back"]
    assert "links to a folder above themselves, not followed: a/b/top, a/b/up, linked/deep/back" in remarks(tree, "**/*")


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "b")
    tree = walk(tmp_path, "**/*")
    assert tree.images == [] and dict(tree.others) == {".jpg": 1, "": 1}


def test_a_name_that_is_not_utf_8(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    assert walk(tmp_path, "**/*").images == ["caf\udce9.jpg"]


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="nothing is missing"):
        walk(tmp_path / "nothing", "**/*")
    with pytest.raises(DataError, match=r"a\.jpg is not a folder"):
        walk(planted(tmp_path, "a.jpg") / "a.jpg", "**/*")


def test_a_folder_that_cannot_be_read_stops_the_walk(tmp_path, monkeypatch):
    planted(tmp_path, "a/1.jpg", "b/2.jpg")
    scan = os.scandir

    def denied(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match="/b cannot be read: Permission denied"):
        walk(tmp_path, "**/*")
