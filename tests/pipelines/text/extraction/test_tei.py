"""TEI to text."""

import pytest

from pipelines.text.extraction.tei import NotTeiError, TeiError, TeiText, tei_text

TEI = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE TEI [<!ENTITY secret SYSTEM "file:///etc/hostname"><!ENTITY lol "lollol">]>
<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt><title>The Mill : ELTeC edition</title>
<author>A. Miller</author></titleStmt></fileDesc></teiHeader>
<text><front><div type="titlepage"><p>THE MILL, London</p></div><div type="liminal"><p>To my wife.</p></div></front>
<body><pb n="1"/><div type="chapter"><head>CHAPTER I</head>
<p>The mill stood by the <hi rend="italic">brook</hi><ref target="#n1">*</ref>, and
   no<pb n="2"/>body knew<note>A note.</note> why.</p>
<quote><l>The brook runs down,</l><l>the wheel goes round.</l></quote>
<p>He said <choice><sic>teh</sic><corr>the</corr></choice> word &secret;&lol;and<!-- hidden --> left.<milestone/></p></div></body>
<back><div type="notes"><p>Note one.</p></div><div type="epilogue"><p>The end.</p></div></back></text></TEI>"""


def test_text_and_title() -> None:
    assert tei_text(TEI.encode()) == TeiText(
        "To my wife.\n\nCHAPTER I\n\nThe mill stood by the brook, and nobody knew why.\n\n"
        "The brook runs down,\nthe wheel goes round.\n\nHe said the word and left.\n\nThe end.",
        "The Mill",
    )


def test_deep_nesting_does_not_recurse() -> None:
    deep = "<div>" * 200 + "<p>word</p>" + "</div>" * 200
    assert tei_text(f"<TEI><text><body>{deep}</body></text></TEI>".encode()).text == "word"


@pytest.mark.parametrize("xml", [b"", b"<TEI><text>", b"<TEI></text>", b"\x00\x01"])
def test_broken_xml(xml: bytes) -> None:
    with pytest.raises(TeiError, match="not well-formed"):
        tei_text(xml)


def test_other_xml() -> None:
    with pytest.raises(NotTeiError, match="<html>"):
        tei_text(b"<html><body/></html>")
