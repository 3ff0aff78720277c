import pytest

from pipelines.sources.listing import matching


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("**/*", ["a.txt", "x/a.txt", "x/y/a.txt"]),
        ("**", ["a.txt", "x/a.txt", "x/y/a.txt"]),
        ("*", ["a.txt"]),
        ("**/a.txt", ["a.txt", "x/a.txt", "x/y/a.txt"]),
        ("x/**", ["x/a.txt", "x/y/a.txt"]),
        ("x/**/a.txt", ["x/a.txt", "x/y/a.txt"]),
        ("x/*", ["x/a.txt"]),
        ("*/*", ["x/a.txt"]),
        ("x?a.txt", []),
        ("x[/]a.txt", []),
        ("x[!b]a.txt", []),
        ("A.txt", []),
        ("?.txt", ["a.txt"]),
    ],
)
def test_stars_marks_and_brackets_know_folders(pattern: str, wanted: list[str]) -> None:
    assert matching(["a.txt", "x/a.txt", "x/y/a.txt"], pattern) == wanted


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a\nb", "*"),
        ("a\nb", "a?b"),
        ("a[1]", "a[[]1]"),
        ("a[1]", r"a\[1\]"),
        ("a1", "a[1]"),
        ("b", "[!a]"),
        ("b", "[^a]"),
        ("[", "["),
        ("]", "[]]"),
        (".hidden/a", "**/a"),
        (".hidden", "*"),
        ("a\udcff", "a?"),  # a name that is not UTF-8, as Python holds it
        ("a{1,2}|@(b)~!", "a{1,2}|@(b)~!"),
        ("!a", "!a"),
        ("a\\b", r"a\\b"),
        ("gs://bucket/x/a", "gs://bucket/**/a"),
        ("gs://bucket/a", "gs://bucket/**/a"),
    ],
)
def test_unusual_names_are_matched(name: str, pattern: str) -> None:
    assert matching([name], pattern) == [name]
