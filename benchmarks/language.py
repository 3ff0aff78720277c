"""Languages of documents beside the bare model (fastText's own answer for the whole text): who is right, and documents a second.

    make bench-language
    make bench-language OPTIONS="--per-language 100"

Documents are made of labelled sentences (one file a language), of which one half was used to choose limits and thresholds; the
figures are those of the other half, and of notices that were written afterwards. Right means the label of the language, as
lid.176 writes it; languages that it does not know are left out of the accuracies, and are the strangers in the last table. Speed
is that of one core: seconds of the processor, best of several turns, on documents of 1,000 characters in all languages and on
longer ones. --pages FILE (JSON Lines, as `corpusmill extract` writes it) measures real pages, too.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from language_set import CLOSE, FOOTER, LID_176, MENU, NOTICES, documents, sentences

from pipelines.config import LanguageSection
from pipelines.fetching.language_model import lid_model
from pipelines.text.judgement.languages.groups import GROUPS, members
from pipelines.text.judgement.languages.identify import Identifier, Verdicts
from pipelines.text.judgement.languages.opened import opened

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
LENGTHS = {"40": 40, "100": 100, "300": 300, "1000": 1_000, "whole": 4_000}

Texts = dict[str, list[str]]  # by language


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=Path, default=SHARED / "langid" / "sentences")
    parser.add_argument("--model", help="lid.176.ftz; by default it is fetched once")
    parser.add_argument("--per-language", type=int, default=60, help="documents of each kind")
    parser.add_argument("--pages", type=Path, help="JSON Lines with texts of real pages, for the speed")
    options = parser.parse_args()
    if not options.sentences.is_dir():
        sys.exit(f"{options.sentences} is not there; name a folder of labelled sentences (de.txt, …) with --sentences")
    path = str(lid_model(options.model))
    bench = Bench(opened((path,), GROUPS), Bare(path), sentences(options.sentences, 1), options.per_language)
    bench.lengths()
    bench.notices()
    bench.quotations()
    bench.boilerplate()
    bench.two_languages()
    bench.close()
    bench.limits()
    bench.speed(options.pages)
    print("", *_RESULTS, sep="\n")


class Bare:
    """fastText itself on the whole text."""

    def __init__(self, path: str) -> None:
        from fasttext.FastText import _FastText  # pyright: ignore[reportPrivateUsage] # load_model prints a warning

        self._model: Any = _FastText(model_path=path)

    def __call__(self, texts: list[str]) -> list[str]:
        """Return the label of each text."""
        lines = [text.replace("\n", " ") + "\n" for text in texts]
        labels, _ = self._model.f.multilinePredict(lines, 1, 0.0, "strict")
        return [label[0].removeprefix("__label__") if label else "und" for label in labels]


class Bench:
    """The sets and the two that judge them."""

    def __init__(self, ours: Identifier, bare: Bare, lines: Texts, count: int) -> None:
        self.ours, self.bare, self.count = ours, bare, count
        known = {language: LID_176.get(language, language) for language in lines}
        self.lines = {known[name]: rows for name, rows in lines.items() if known[name] in ours.codes}
        self.strangers = {name: rows for name, rows in lines.items() if known[name] not in ours.codes}

    def made(self, characters: int, seed: str, count: int | None = None) -> Texts:
        """Return documents of so many characters in each language that the model knows."""
        return {name: documents(rows[:], characters, count or self.count, seed + name) for name, rows in self.lines.items()}

    def judged(self, texts: Iterable[str]) -> Verdicts:
        """Return our verdicts."""
        return self.ours.identify(pa.array(list(texts), pa.string()))

    def compare(self, name: str, texts: Texts, goal: str = ">=bare") -> None:
        """Print the shares of right answers of both."""
        right: Counter[str] = Counter()
        worse: list[str] = []
        for language, rows in texts.items():
            ours = self.judged(rows).language.to_pylist().count(language)
            bare = self.bare(rows).count(language)
            right.update(ours=ours, bare=bare, all=len(rows))
            if ours < bare:
                worse.append(f"{language} {ours}/{bare}")
        ours, bare = right["ours"] / right["all"], right["bare"] / right["all"]
        print(f"{name:<34} {ours:8.4f} {bare:8.4f}   {'fewer right: ' * bool(worse)}{', '.join(worse)}")
        result(f"{name}_right", ours, goal=f">={bare:.4f}" if goal == ">=bare" else goal)
        result(f"{name}_right_bare", bare)

    def lengths(self) -> None:
        """Documents in one language, by length."""
        head("documents in one language, by length", "ours", "bare")
        self.compare("sentences", self.made(0, "s"))
        for name, characters in LENGTHS.items():
            self.compare(f"length_{name}", self.made(characters, name))

    def notices(self) -> None:
        """English notices before texts in all other languages."""
        head("an English notice of 900 characters before a text", "ours", "bare")
        for characters in (500, 1_000, 2_000):
            alone = {k: v for k, v in self.made(characters, "n", max(2, self.count // 6)).items() if k != "en"}
            before = {
                language: [f"{notice}\n\n{text}" for notice in NOTICES.values() for text in rows]
                for language, rows in alone.items()
            }
            self.compare(f"notice_{characters}", before, goal="-")
            self._of_those_right_alone(f"notice_{characters}", alone, before)

    def _of_those_right_alone(self, name: str, alone: Texts, before: Texts) -> None:
        """Print how many of the texts that the bare model names right by themselves are right after the notice."""
        right = total = english = 0
        for language, rows in alone.items():
            is_right = np.array([said == language for said in self.bare(rows)] * len(NOTICES))
            said = np.array(self.judged(before[language]).language.to_pylist())
            right, total = right + int((said == language)[is_right].sum()), total + int(is_right.sum())
            english += int((said == "en").sum())
        print(f"{'  of those right by themselves':<34} {right / total:8.4f}            taken for English: {english:,}")
        result(f"{name}_right_of_nameable", right / total, goal=">=0.95")

    def quotations(self) -> None:
        """English texts around a quotation: the rule for notices must not take it for the text."""
        head("English of 1,000 characters around a quotation", "ours", "bare")
        if "en" not in self.lines:
            return
        english = documents(self.lines["en"][:], 1_000, self.count, "q")
        middles = [text.rfind(" ", 0, 500) for text in english]
        for characters in (200, 300):
            pages = [
                f"{text[:middle]}\n\n{quotation}\n\n{text[middle:]}"
                for language, rows in self.lines.items()
                if language != "en"
                for text, middle, quotation in zip(english, middles, documents(rows[:], characters, 6, language), strict=False)
            ]
            self.compare(f"quotation_{characters}", {"en": pages}, goal=">=0.95")

    def boilerplate(self) -> None:
        """Texts between English menus and footers."""
        head("a text between English menus", "ours", "bare")
        for characters in (300, 1_000):
            pages = {k: [f"{MENU}{text}{FOOTER}" for text in v] for k, v in self.made(characters, "b").items()}
            self.compare(f"menus_{characters}", pages)

    def two_languages(self) -> None:
        """Pages in two languages, of different groups, and pages in one."""
        head("pages in two languages", "ours", "")
        names = sorted(name for name in self.lines if name not in ("bs", "ms", "so", "yo"))  # which lid.176 never names
        chance = np.random.default_rng(5)
        pages, truth = [], []
        for _ in range(10 * self.count):
            first, second = (str(name) for name in chance.choice(names, 2, replace=False))
            if self._close(first, second) or "en" in (first, second):
                continue
            share = chance.choice([0.65, 0.75, 0.85])
            parts = [
                documents(self.lines[name][:], int(size), 1, f"{_}{name}")[0]
                for name, size in ((first, 3_000 * share), (second, 3_000 * (1 - share)))
            ]
            pages.append("\n\n".join(parts if chance.random() < 0.5 else parts[::-1]))
            truth.append((first, second))
        said = self.judged(pages)
        both = [{one["language"] for one in row} if row else set() for row in said.languages.to_pylist()]
        found = sum(self._named(a, names) and self._named(b, names) for (a, b), names in zip(truth, both, strict=True))
        main = sum(self._named(a, {name}) for (a, _), name in zip(truth, said.language.to_pylist(), strict=True))
        single = [text for rows in self.made(3_000, "one").values() for text in rows]
        wrong = self.judged(single).languages
        print(f"{'both are named':<34} {found / len(pages):8.4f}")
        print(f"{'the larger is the language':<34} {main / len(pages):8.4f}")
        print(f"{'pages in one, taken for several':<34} {1 - wrong.null_count / len(single):8.4f}")
        result("two_languages_both_named", found / len(pages), goal=">=0.9")
        result("two_languages_larger_named", main / len(pages), goal=">=0.9")
        result("one_language_taken_for_several", 1 - wrong.null_count / len(single), goal="<=0.01")

    def _close(self, a: str, b: str) -> bool:
        return any(a in members(group) and b in members(group) for group in GROUPS)

    def _named(self, language: str, names: set[str]) -> bool:
        return any(language == name or self._close(language, name) for name in names)

    def close(self) -> None:
        """Close languages by their own names."""
        head("close languages, 300 characters", "own name", "bare")
        texts = self.made(300, "close")
        for pair in CLOSE:
            rows = {LID_176.get(name, name): texts.get(LID_176.get(name, name), []) for name in pair.split()}
            rows = {name: found for name, found in rows.items() if found}
            if rows:
                self.compare("close_" + pair.replace(" ", "_"), rows)

    def limits(self) -> None:
        """What the default limits keep of each language under its name or its group's, and which strangers come in."""
        head("kept at the default limits, 300 to 1,000 characters", "own name", "its group", "at .65")
        section, fewer = LanguageSection(), []
        strangers: Counter[str] = Counter()
        kept_strangers = 0
        sets: Texts = {name: [] for name in (*self.lines, *self.strangers)}
        for characters in (300, 500, 1_000):
            for name, rows in (*self.lines.items(), *self.strangers.items()):
                sets[name] += documents(rows[:], characters, self.count // 2, f"l{characters}{name}")
        for language, rows in sorted(sets.items()):
            said = self.judged(rows)
            pairs = list(zip(said.language.to_pylist(), said.score.to_pylist(), strict=True))
            kept = [name for name, score in pairs if score >= section.limit_of(name)]
            for name in kept:
                if not self._named(language, {name}):
                    strangers[f"{language} as {name}"] += 1
            if language in self.strangers:
                kept_strangers += len(kept)
                continue
            own, close = kept.count(language) / len(rows), sum(self._named(language, {name}) for name in kept) / len(rows)
            before = sum(name == language and score >= 0.65 for name, score in pairs) / len(rows)
            if own < 0.9 or before < 0.9:
                fewer.append((language, own, close, before))
        for language, own, close, before in fewer:
            print(f"{language:<34} {own:8.3f} {close:8.3f} {before:8.3f}")
        wrong = sum(strangers.values())
        print(f"strangers kept: {', '.join(f'{name} ({n})' for name, n in strangers.most_common(12))}")
        result("languages_kept_by_less_than_0.9", sum(own < 0.9 for _, own, _, _ in fewer), "languages", "-")
        result("languages_kept_by_less_than_0.9_as_group", sum(close < 0.9 for _, _, close, _ in fewer), "languages", "-")
        result("strangers_kept", wrong / sum(map(len, sets.values())), goal="<=0.01")
        result("unknown_languages_kept", kept_strangers / max(1, sum(len(sets[name]) for name in self.strangers)), goal="<=0.02")

    def speed(self, pages: Path | None) -> None:
        """Documents a second."""
        head("documents a second on one core", "ours", "bare", "characters")
        sets = {"1000": [text for rows in self.made(1_000, "speed", 25).values() for text in rows]}
        sets["5000"] = [text for rows in self.made(5_000, "speed", 10).values() for text in rows]
        if pages is not None:
            sets["pages"] = [row["text"] for row in map(json.loads, pages.open(encoding="utf-8")) if row.get("text")]
        for name, texts in sets.items():
            column = pa.array(texts)
            self.ours.identify(column)
            ours = len(texts) / best(lambda column=column: self.ours.identify(column))
            bare = len(texts) / best(lambda texts=texts: self.bare(texts))
            print(f"{name:<34} {ours:8,.0f} {bare:8,.0f} {sum(map(len, texts)) // len(texts):8,}")
            result(f"documents_a_second_{name}", ours, "1/s", ">=10000" if name == "1000" else "-")
            result(f"documents_a_second_{name}_bare", bare, "1/s")


def best(work: Callable[[], object], turns: int = 5) -> float:
    """Return the fewest seconds of the processor that the work took."""
    taken = []
    for _ in range(turns):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def head(title: str, *columns: str) -> None:
    print(f"\n{title:<52}" + " ".join(f"{column:>10}" for column in columns))


def result(name: str, value: float, unit: str = "share", goal: str = "-") -> None:
    _RESULTS.append(
        f"RESULT\t{name}\t{value:.4f}\t{unit}\t{goal}" if unit == "share" else f"RESULT\t{name}\t{value:.0f}\t{unit}\t{goal}"
    )


_RESULTS: list[str] = []


if __name__ == "__main__":
    main()
