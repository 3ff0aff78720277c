"""A labelled set of pages with code, tables and formulas, built from the documentation packages of Debian 12.

    python benchmarks/structure_set.py build/structure-set

structure_set.toml pins the packages by version and SHA-256 (`apt-get download` gets them, or --packages names a folder that has
them) and says by XPath what each generator writes for a code block, a table and a formula: the truth of a page is what these
elements hold. Some groups of pages have their formulas written anew, as other sites write them: by KaTeX, as annotated MathML
(both need node), as MathJax scripts, as Wikipedia's images. A package that is not to be had is left out, with a line.

Writes `pages.warc.gz`, `truth.jsonl` ({"url", "generator", "code": [block], "tables": [[[cell]]], "formulas": [LaTeX]} a page)
and the pages as single files, to look at.
"""

import argparse
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import lxml.html
from build import warc_record

HERE = Path(__file__).resolve().parent
MOST_BYTES = 300_000  # of a page
KATEX = """
const katex = require(process.argv[1]); const out = [];
for (const [latex, display] of JSON.parse(require("fs").readFileSync(0)))
  out.push(katex.renderToString(latex, {displayMode: display, output: process.argv[2], throwOnError: false}));
console.log(JSON.stringify(out));
"""
MARK = re.compile("\ue000([0-9]+)\ue001")
Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, help="a folder for the packages; default: FOLDER/packages")
    arguments = parser.parse_args()
    packages = tomllib.loads((HERE / "structure_set.toml").read_text(encoding="utf-8"))["packages"]
    store: Path = arguments.packages or arguments.folder / "packages"
    unpacked = {package["name"]: folder for package in packages if (folder := unpack(package, store))}
    katex = unpacked.get("libjs-katex")
    rows: list[tuple[Json, bytes]] = []
    for package in packages:
        for group in package["groups"] if package["name"] in unpacked else ():
            rows += pages_of(group, package["name"], unpacked[package["name"]], katex / "katex.js" if katex else None)
    write(arguments.folder, rows)


def unpack(package: Json, store: Path) -> Path | None:
    """Return the folder of a package's pages, or None if that version is not to be had."""
    name, version = package["name"], package["version"]
    store.mkdir(parents=True, exist_ok=True)
    path = store / f"{name}_{version.replace(':', '%3a')}_all.deb"
    if not path.exists():
        subprocess.run(["apt-get", "download", "-q", f"{name}={version}"], cwd=store, check=False, capture_output=True)
    if not path.exists():
        print(f"left out: apt-get has no {name}={version}; put {path.name} into {store}", file=sys.stderr)
        return None
    if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != package["sha256"]:
        sys.exit(f"{path}: SHA-256 {digest}, not the pinned {package['sha256']}; remove the file and run again")
    folder = store / name
    if not folder.exists():
        subprocess.run(["dpkg-deb", "-x", str(path), str(folder)], check=True)
    return folder / package["folder"]


def pages_of(group: Json, package: str, folder: Path, katex: Path | None) -> Iterator[tuple[Json, bytes]]:
    """Yield truth and bytes of a group's pages."""
    fitting = [path for path in sorted(folder.rglob("*.html")) if fits(group, path, path.relative_to(folder).as_posix())]
    step = max(len(fitting) / group["count"], 1)
    for number in range(min(group["count"], len(fitting))):
        path = fitting[(int(number * step) + group.get("skip", 0)) % len(fitting)]
        if (made := labelled(group, path.read_bytes(), katex)) is not None:
            truth, page = made
            url = f"https://{package}.example/{group['name']}/{path.relative_to(folder).as_posix()}"
            yield {"url": url, "generator": group["name"], **truth}, page


def fits(group: Json, path: Path, name: str) -> bool:
    """Return whether a page has what its group wants and nothing that it must not have."""
    if not re.search(group.get("only", ""), name) or re.search(group.get("without", r"(?!)"), name):
        return False
    if not 3000 < path.stat().st_size < group.get("most_bytes", MOST_BYTES):
        return False
    root = parsed(path.read_bytes())
    wanted = [group[kind] for kind in ("code", "tables", "formulas") if kind in group and group.get("wanted", kind) == kind]
    return any(root.xpath(xpath) for xpath in wanted) and not ("unless" in group and root.xpath(group["unless"]))


def labelled(group: Json, page: bytes, katex: Path | None) -> tuple[Json, bytes] | None:
    """Return a page's truth and the page, its formulas written anew if the group says so; None if KaTeX is not to be had."""
    root = parsed(page)
    found = root.xpath(group["formulas"]) if "formulas" in group else []
    formulas = [latex_of(element) for element in found]
    for number, element in enumerate(found):
        put_mark(element, number)
    if (way := group.get("formulas_as")) is not None:
        markup = written_anew(way, formulas, katex)
        if markup is None:
            return None
        page = MARK.sub(lambda mark: markup[int(mark[1])], str(lxml.html.tostring(root, encoding="unicode"))).encode()
        page = b"<!DOCTYPE html>\n" + page
    tables = [table_of(element) for element in root.xpath(group["tables"])] if "tables" in group else []
    restored = [
        [[MARK.sub(lambda mark: f"${formulas[int(mark[1])][0]}$", cell) for cell in row] for row in rows] for rows in tables
    ]
    code = [block for element in root.xpath(group["code"]) if (block := code_of(element)).strip()]
    return {"code": code, "tables": [rows for rows in restored if rows], "formulas": [latex for latex, _ in formulas]}, page


def parsed(page: bytes) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(page, parser=lxml.html.HTMLParser(encoding="utf-8"))


def latex_of(element: lxml.html.HtmlElement) -> tuple[str, bool]:
    r"""Return a formula's LaTeX, and whether it is displayed (an image's is its alt text)."""
    if element.tag == "img":
        return element.get("alt", "").strip(), False
    text = element.text_content().strip()
    return re.sub(r"\A\\[(\[]|\\[)\]]\Z", "", text).strip(), text.startswith(r"\[")


def put_mark(element: lxml.html.HtmlElement, number: int) -> None:
    """Put the number of a formula in the place of its element."""
    mark = lxml.html.Element("span")
    mark.text, mark.tail = f"\ue000{number}\ue001", element.tail
    element.getparent().replace(element, mark)


def written_anew(way: str, formulas: list[tuple[str, bool]], katex: Path | None) -> list[str] | None:
    """Return the markup of formulas as another kind of site writes them; None if node or KaTeX is missing."""
    if way == "scripts":
        return [f'<script type="math/tex{"; mode=display" * display}">{latex}</script>' for latex, display in formulas]
    if way == "wiki":
        return [
            f'<span class="mwe-math-element"><img src="/media/math/render/svg/{number}" class="mwe-math-fallback-image-'
            f'{"display" if display else "inline"}" aria-hidden="true" alt="{{\\displaystyle {escape(latex)}}}"></span>'
            for number, (latex, display) in enumerate(formulas)
        ]
    if katex is None or shutil.which("node") is None:
        print(f"left out: pages with formulas as {way} need node and the package libjs-katex", file=sys.stderr)
        return None
    command = ["node", "-e", KATEX, str(katex), "mathml" if way == "mathml" else "htmlAndMathml"]
    done = subprocess.run(command, input=json.dumps(formulas), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def code_of(element: lxml.html.HtmlElement) -> str:
    """Return the text of a code block, a line a line, without empty lines at its ends."""
    lines = element.xpath("./div[@class='line']")
    if lines:
        return "\n".join(line.text_content().rstrip("\n") for line in lines)
    for line_break in element.iter("br"):
        line_break.tail = "\n" + (line_break.tail or "")
    return element.text_content().strip("\n")


def table_of(element: lxml.html.HtmlElement) -> list[list[str]]:
    """Return the rows of a table with their cells' texts, each on one line; rows without text are left out."""
    rows = []
    for row in element.iter("tr"):
        cells = [text_of(cell) for cell in row.iterchildren("td", "th")]
        if any(cells):
            rows.append(cells)
    return rows


def text_of(cell: lxml.html.HtmlElement) -> str:
    for element in cell.iter("br", "p", "div", "li"):
        element.tail = " " + (element.tail or "")
    return " ".join(cell.text_content().split())


def write(folder: Path, rows: list[tuple[Json, bytes]]) -> None:
    """Write the truth, the pages as a WARC file and as single files."""
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    with (folder / "truth.jsonl").open("w", encoding="utf-8") as truth, gzip.open(folder / "pages.warc.gz", "wb") as pages:
        for number, (row, page) in enumerate(rows):
            truth.write(json.dumps(row, ensure_ascii=False) + "\n")
            pages.write(warc_record(f"{number:012}", row["url"], page))
            (folder / "pages" / f"{number:03}-{row['generator']}.html").write_bytes(page)
    for generator in dict.fromkeys(row["generator"] for row, _ in rows):
        mine = [row for row, _ in rows if row["generator"] == generator]
        sums = ", ".join(f"{sum(len(row[kind]) for row in mine)} {kind}" for kind in ("code", "tables", "formulas"))
        print(f"{generator:<26}{len(mine):>4} pages: {sums}")


if __name__ == "__main__":
    main()
