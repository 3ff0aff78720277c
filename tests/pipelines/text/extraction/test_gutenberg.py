"""Project Gutenberg's wrapping, in all the forms it has had."""

import pytest
from places import SHARED

from pipelines.text.characters.encodings import decode
from pipelines.text.extraction.gutenberg import Book, strip_gutenberg

DATA = SHARED / "books" / "gutenberg"

BODY = "THE MILL\n\nby A. Miller\n\n\nCHAPTER I\n\nThe mill stood by the brook."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "*** START OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\n",
            "*** END OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\nLicence",
        ),
        ("*** START OF THE PROJECT GUTENBERG EBOOK, THE MILL ***\n", "*** END OF THE PROJECT GUTENBERG EBOOK, THE MILL ***\n"),
        ("***START OF THE PROJECT GUTENBERG ETEXT THE MILL***\n", "***END OF THE PROJECT GUTENBERG ETEXT THE MILL***\n"),
        ("*** START OF THE PROJECT GUTENBERG EBOOK THE MILL\nAND THE BROOK ***\n", "*** END OF THE PROJECT GUTENBERG EBOOK\n"),
        (
            "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this here?\n"
            "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n",
            "End of the Project Gutenberg Etext of The Mill\n",
        ),
        (
            "*** START OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\n\n\nProduced by A. Volunteer and\nthe Online Team\n\n\n\n"
            "[Transcriber's Note: Spelling was left\nas it is.]\n\n",
            "End of Project Gutenberg's The Mill, by A. Miller\n\n*** END OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\n",
        ),
        (
            "*** START OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\nE-text prepared by A. Volunteer\n\n"
            "Transcriber's Note:\n\nThere are no\nillustrations.\n\n\n",
            "*** END OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\n",
        ),
    ],
)
def test_every_form_of_the_marks(before: str, after: str) -> None:
    header = (
        "The Project Gutenberg EBook of The Mill, by A. Miller\n\nTitle: The Mill\n       and the Brook\n\nAuthor: A. Miller\n\n"
    )
    assert strip_gutenberg(f"{header}{before}\n\n{BODY}\n\n\n{after}") == Book(BODY, "The Mill and the Brook")


def test_the_title_without_a_title_field() -> None:
    text = f"Project Gutenberg's The Mill, by A. Miller\n\n*** START OF THIS PROJECT GUTENBERG EBOOK THE MILL ***\n{BODY}"
    assert strip_gutenberg(text) == Book(BODY, "The Mill")


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        "",
        "He read it on Project Gutenberg.\n\nProduced by nobody.",
        "  *** START ***\nEnd of the story of Project Gutenberg.",
    ],
)
def test_other_texts_are_unchanged(text: str) -> None:
    assert strip_gutenberg(text) == Book(text)


@pytest.mark.parametrize(
    ("name", "title", "first", "last"),
    [
        ("11-0.txt", "Alice’s Adventures in Wonderland", "ALICE’S ADVENTURES IN WONDERLAND", "THE END"),
        ("1342-0.txt", "Pride and Prejudice", "PRIDE AND PREJUDICE", "means of uniting them."),
        ("pandp12.txt", "Pride and Prejudice", "Pride and Prejudice", "means of uniting them."),
    ],
)
def test_real_files_begin_and_end_with_the_book(name: str, title: str, first: str, last: str) -> None:
    if not DATA.exists():
        pytest.skip("the real books are not on this machine")
    decoded = decode((DATA / name).read_bytes())
    assert decoded is not None
    book = strip_gutenberg(decoded.text)
    lines = book.text.split("\n")
    assert (book.title, lines[0]) == (title, first)
    assert lines[-1].endswith(last)
    assert "Gutenberg" not in book.text
