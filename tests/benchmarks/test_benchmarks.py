"""Each benchmark runs at a tiny size to its RESULT lines; its figures mean nothing here."""

import gzip
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from places import FIXTURES, ROOT
from tuning import labelled, write_config, write_records

from flows import drive
from pipelines import config
from pipelines.units.context import Context
from training.convert.importing import import_model
from training.models import loss
from training.tasks.finetune import finetune

sys.path.insert(0, str(ROOT / "benchmarks"))
from build import warc_record

sys.path.pop(0)

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries

RESULT = re.compile(r"RESULT\t(\S+)\t([-+.e\d]+)\t([^\t]+)\t([^\t]+)")
SMALL_MODEL = ("model.width=16", "model.heads=2", "model.layers=1", "rows.length=16", "data.batch_rows=4", "train.warmup_steps=0")


class Here:
    """Runs a benchmark in this process, where torch and transformers are imported already."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._folder, self._patch, self._capture = folder, patch, capture

    def results(self, script: str, *options: object) -> set[str]:
        path = ROOT / "benchmarks" / script
        self._patch.chdir(self._folder)
        self._patch.syspath_prepend(str(path.parent))
        self._patch.setattr(sys, "argv", [str(path), *map(str, options)])
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            assert not end.code, end.code
        return names_of(self._capture.readouterr().out)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """A way to run benchmarks; what they set of torch is set back."""
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    monkeypatch.setattr(loss, "LOGITS_PER_CHUNK", loss.LOGITS_PER_CHUNK.copy())
    yield Here(tmp_path, monkeypatch, capsys)
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)


def results(cwd: Path, script: str, *options: object) -> set[str]:
    """Run a benchmark in a folder, in a process of its own, and return the names of its results."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, options)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=cwd, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return names_of(done.stdout)


def names_of(output: str) -> set[str]:
    """Check the form of all RESULT lines."""
    lines = [line for line in output.splitlines() if line.startswith("RESULT")]
    found = [RESULT.fullmatch(line) for line in lines]
    assert all(found), lines
    return {match[1] for match in found if match}


def sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


@pytest.fixture(scope="module")
def four_families(tiny, language_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with build/demo: the tiny corpus with a vocabulary of which every family can learn."""
    folder = tmp_path_factory.mktemp("benchmarks")
    out = Path(shutil.copytree(tiny.out, folder / "build" / "demo"))
    families = json.dumps(["gpt", "bert", "bart", "t5"])
    changes = (f'language.model="{language_model}"', "vocabularies.0.size=600", f"vocabularies.0.families={families}")
    drive.build(Context(config.load(FIXTURES / "tiny.toml", changes), str(out)), gated=False)
    return folder


def test_every_benchmark_is_run_here() -> None:
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    helpers = {
        "dedup_corpus.py",
        "dedup_ours.py",
        "dedup_peers.py",
        "extract_ours.py",
        "extract_peers.py",
        "filters_peer.py",
        "ingest_peer.py",
        "language_set.py",
        "rules_ours.py",
        "private_texts.py",
        "tasks_peer.py",
    }
    helpers |= {"tasks_peer.py", "structure.py", "structure_set.py"}  # tests/benchmarks/test_structure.py
    here = Path(__file__).read_text()
    assert {name for name in scripts - helpers if f'"{name}"' not in here} == set()
    on_gpu = {path.stem for path in (ROOT / "benchmarks" / "gpu").glob("*.py")}
    assert on_gpu == {*FAMILIES, "measure"}  # what all of them import


FAMILIES = ("bert", "gpt", "bart", "t5")


@pytest.mark.parametrize("family", FAMILIES)
def test_gpu(here: Here, family: str) -> None:
    targets = ("--targets", 6) if family in ("bart", "t5") else ()
    options = ("--device", "cpu", "--size", "demo", "--length", 16, "--rows", 2, "--steps", 1, "--mode", "none")
    assert here.results(f"gpu/{family}.py", *options, *targets) == {f"gpu_{family}_demo"}


def test_private(here: Here, language_model: str, tmp_path: Path) -> None:
    options = ("--each", 1, "--clean", 40, "--shared", tmp_path, "--model", language_model, "--peers-python", tmp_path / "none")
    types = ("card", "coordinates", "email", "iban", "ip", "national_id", "phone", "secret", "url")
    figures = (
        "clean_documents_with_findings",
        "numbers_of_things_flagged",
        "nothing_found",
        "web_pages",
        *(f"made_{type_}" for type_ in types),
    )
    assert here.results("private.py", *options) == {f"private_{figure}" for figure in figures}


def test_language(here: Here, language_model: str, tmp_path: Path) -> None:
    told = {
        "en": "The old man walked slowly home through the rain, and nobody knew him any more",
        "de": "Der alte Mann ging langsam durch den Regen nach Hause, und niemand kannte ihn mehr",
        "ru": "Старик медленно шёл домой под дождём, и никто на улице больше не узнавал его",
        "zu": "Ikhehla lahamba kancane liya ekhaya emvuleni, futhi akekho owalazi emgwaqweni",
    }
    for name, sentence in told.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{sentence} ({n})." for n in range(12)))
    (tmp_path / "pages.jsonl").write_text(json.dumps({"text": told["de"]}) + "\n")
    options = ("--sentences", tmp_path, "--model", language_model, "--per-language", 2, "--pages", tmp_path / "pages.jsonl")
    compared = ("sentences", *(f"length_{n}" for n in (40, 100, 300, 1000, "whole")), "menus_300", "menus_1000", "close_ru_uk_be")
    compared = (*compared, *(f"notice_{n}" for n in (500, 1000, 2000)), "quotation_200", "quotation_300")
    names = {f"{name}_right{of}" for name in compared for of in ("", "_bare")}
    names |= {f"notice_{n}_right_of_nameable" for n in (500, 1000, 2000)}
    names |= {f"documents_a_second_{name}{of}" for name in ("1000", "5000", "pages") for of in ("", "_bare")}
    names |= {"two_languages_both_named", "two_languages_larger_named", "one_language_taken_for_several"}
    names |= {"languages_kept_by_less_than_0.9", "languages_kept_by_less_than_0.9_as_group", "strangers_kept"}
    assert here.results("language.py", *options) == names | {"unknown_languages_kept"}


def test_models(here: Here) -> None:
    options = ("--rounds", 1, "--steps", 1, "--layers", 2, "--lockstep", 1, "--threads", 1)
    families = ("bert", "gpt", "bart", "t5", "t5_spans")
    names = {f"model_{family}_{figure}" for family in families for figure in ("vs_huggingface", "lockstep")}
    assert here.results("models.py", *options) == names


def test_objectives(here: Here, tmp_path: Path) -> None:
    found = here.results("objectives.py", "--tokens", 400_000, "--turns", 1, "--seconds", 0.001, "--folder", tmp_path / "b")
    assert len([name for name in found if name.startswith("objective_")]) == 9
    assert {name for name in found if "huggingface" in name} == {
        f"masked_lm_{of}_vs_huggingface" for of in ("pieces", "pieces_of_tensors", "whole_words")
    }


def test_memory(tmp_path: Path) -> None:
    options = ("--only", "gpt", "--sizes", "small", "--tokens", 20_000, "--folder", tmp_path / "out")
    found = results(tmp_path, "memory.py", *options, *sets("data.batch_rows=2", "train.eval_rows=2", "train.threads=1"))
    assert found == {"memory_gpt_small", "memory_gpt_small_recomputed", "memory_worst"}


def test_tasks(here: Here, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "translation"
    folder.mkdir(parents=True)
    for name in ("train", "val", "test_2016_flickr"):
        for language, text in (("en", "a dog runs\n"), ("de", "ein Hund läuft\n")):
            (folder / f"{name}.{language}.gz").write_bytes(gzip.compress((text * 8).encode()))
    tiny = ("train.epochs=1.0", "train.batch_rows=4", "model.new.vocabulary=390", "model.new.width=16", "task.beams=2")
    found = here.results("tasks.py", "--data", tmp_path / "data", "--seeds", 2, "--threads", 1, *sets(*tiny))
    assert found == {f"tasks_multi30k_{figure}" for figure in ("bleu", "chrf", "seconds")}, "others have no data or no base"


def test_tasks_beside_transformers(here: Here, tmp_path: Path) -> None:
    """Each kind of task by our trainer and by transformers' own, from the same random BERT."""
    words = ["the", "mill", "was", "sold", "by", "miller", "of", "bridge", "$", "#", "who"]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    base = tmp_path / "base"
    transformers.BertTokenizer(str(vocabulary)).save_pretrained(base)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    numbers = transformers.BertConfig(vocab_size=5 + len(words), max_position_embeddings=64, **shape)
    transformers.BertForPreTraining(numbers).save_pretrained(base)
    import_model(str(base), str(tmp_path / "imported"))
    write_tasks(tmp_path / "data")
    options = ("--only", "sst2", "wnut17", "semeval2010", "squad", "--base", f"bert={tmp_path / 'imported'}")
    small = sets("train.epochs=1.0", "train.eval_every=1", "task.length=32", "task.validation_share=0.4")
    found = here.results("tasks.py", *options, "--peer", f"bert={base}", "--data", tmp_path / "data", "--threads", 1, *small)
    metrics = {"sst2": "accuracy", "wnut17": "f1", "semeval2010": "macro_f1", "squad": "f1"}
    beside = {f"tasks_{name}_{metric}_above_transformers" for name, metric in metrics.items()}
    assert beside | {f"tasks_{name}_speed_vs_transformers" for name in metrics} <= found


def write_tasks(folder: Path) -> None:
    """Write a few records of four tasks in the form of the published files."""
    for name in ("sst2", "wnut17", "relations", "squad"):
        (folder / name).mkdir(parents=True)
    table = "sentence\tlabel\n" + "the mill was sold\t1\nthe bridge was sold\t0\n" * 6
    (folder / "sst2" / "train.tsv.gz").write_bytes(gzip.compress(table.encode()))
    for name in ("dev", "test"):
        (folder / "sst2" / f"{name}.tsv").write_text(table)
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (folder / "wnut17" / name).write_text("the\tO\nmill\tB-place\nbridge\tI-place\n\nmiller\tB-person\n\n" * 6)
    sentences = "A(e1,e2)\tthe <e1>mill</e1> of <e2>miller</e2>\nOther\t<e2>bridge</e2> by <e1>mill</e1>\n" * 6
    for name in ("train", "test"):
        (folder / "relations" / f"{name}.tsv").write_text(sentences)
    context = "the mill was sold by miller of the bridge " * 8
    asked = {"id": "1", "question": "who sold mill", "answers": [{"text": "miller", "answer_start": context.index("miller")}]}
    data = json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": [asked] * 12}]}]})
    for name in ("train", "validation"):
        (folder / "squad" / f"{name}.json.gz").write_bytes(gzip.compress(data.encode()))


def test_small(here: Here, tmp_path: Path) -> None:
    """A tuned BERT of two layers; models that are there already are measured only."""
    train = write_records(tmp_path / "train.jsonl", labelled(60))
    new = '[model.new]\nfamily = "bert"\nlayers = 2\nheads = 2\nwidth = 16\nvocabulary = 390\n'
    config = write_config(tmp_path, tmp_path, "classification", train)
    config.write_text(re.sub(r"\[model\]\nbase = .*\n", new, config.read_text()))
    finetune(config, ("train.epochs=1.0",))
    options = ("--run", tmp_path / "run", "--layers", 1, "--epochs", 1, "--prune", 0.25, "--turns", 1, "--threads", 1)
    names = {f"small_{name}_{figure}" for name in ("int8", "int8_weights", "int4_weights", "pruned", "student")
             for figure in ("lost", "kept", "speed", "bytes")}  # fmt: skip
    assert here.results("small.py", *options) == here.results("small.py", *options) == {"small_whole_metric", *names}


def test_sampler(here: Here) -> None:
    found = here.results("sampler.py", "--rows", 1_000_000, "--batch-rows", 8, "--whole", 1000, "--peer", 1000)
    assert len(found) == 7 and "sampler_mixture_of_20_rows_per_s" in found


def test_dedup(tmp_path: Path) -> None:
    """Its peers are left out: they are installed in an environment of their own (`make bench-dedup`)."""
    (tmp_path / "books").mkdir()
    words = " ".join(f"word{number * 7919 % 3001}" for number in range(6000))
    (tmp_path / "books" / "novel.txt").write_text(words)
    options = ("--documents", 60, "--large", 0, "--workers", 1, "--no-peers")
    found = results(tmp_path, "dedup.py", *options, "--books", tmp_path / "books", "--folder", tmp_path / "out")
    assert found == {"planted_found", "false_removals", "peak_mib_34k"}


def test_encode(tmp_path: Path) -> None:
    books = tmp_path / "data" / "books" / "en"
    books.mkdir(parents=True)
    for path in (FIXTURES / "tiny" / "books").glob("*.txt"):
        shutil.copy(path, books)
    for folder in ("wikipedia", "langid/sentences", "lm", "dedup", "extraction"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name in ("lm/wikitext-2-raw-valid.txt", "dedup/articles_1000.train", "extraction/truth.jsonl"):
        (tmp_path / "data" / name).touch()
    options = ("--rounds", 1, "--sizes", 400, "--data", tmp_path / "data", "--folder", tmp_path / "out")
    found = results(tmp_path, "encode.py", *options)
    assert {f"encode_{kind}_0.4k_vs_sentencepiece" for kind in ("bpe", "unigram")} < found


@pytest.fixture(scope="module")
def article_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WARC file of one page of prose."""
    article = "".join(f"<p>{line}</p>" for line in (FIXTURES / "tiny" / "books" / "orchard.txt").read_text().split("\n\n"))
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + f"<html><body><article>{article}".encode()
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
    pages = tmp_path_factory.mktemp("page") / "pages.warc"
    pages.write_bytes(
        f"{head}Content-Type: application/http\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"
    )
    return pages


def of_an_article(page: Path, out: Path, language_model: str) -> tuple[object, ...]:
    """Return options for a benchmark that builds a corpus of copies of one page."""
    small = sets(f"language.model={language_model}", "vocabularies.0.size=400", "vocabularies.0.threads=1", "quality.rules=[]")
    return ("--megabytes", 0.02, "--pages", page, "--folder", out, *small)


def test_changes(tmp_path: Path, language_model: str, article_page: Path) -> None:
    found = results(tmp_path, "changes.py", *of_an_article(article_page, tmp_path / "out", language_model))
    names = ("threshold", "rule", "keep", "licence", "priority", "curated", "takedown", "one_file")
    assert found == {f"change_{name}" for name in names}


def test_ingest(tmp_path: Path, language_model: str, article_page: Path) -> None:
    """Its peer is left out: datatrove is installed in an environment of its own (`make bench-ingest`)."""
    options = of_an_article(article_page, tmp_path / "out", language_model)
    assert results(tmp_path, "ingest.py", "--no-peers", *options) == {"documents_html_mb_per_second"}


def test_decontamination(tmp_path: Path) -> None:
    books, items = tmp_path / "books" / "en", tmp_path / "decontamination"
    shutil.copytree(FIXTURES / "tiny" / "books", books)
    items.mkdir()
    questions = [f"In which year did the {n}th keeper of the lighthouse {w} the lamp?" for n in range(9) for w in ("mend", "buy")]
    questions += [f"Who paid for lamp number {n}?" for n in range(9)]
    (items / "a.jsonl").write_text(
        "".join(json.dumps({"question": q, "answer": f"In {n}."}) + "\n" for n, q in enumerate(questions))
    )
    found = results(tmp_path, "decontamination.py", "--data", tmp_path, "--items", 3)
    planted = {"verbatim", "paragraph", "lines", "embedded", "edited", "html", "hyphens", "short", "short_with_answer", "clean"}
    assert found == {*(f"decontaminate_{kind}" for kind in planted), "decontaminate_us_per_500_words"}


def test_annotate(tmp_path: Path) -> None:
    names = {f"annotate_demo_{words}_words{of}" for words in (50, 500) for of in ("", "_of_together")}
    assert results(tmp_path, "annotate.py", "--sizes", "demo", "--documents", 4) == names


def test_quality_score(tmp_path: Path) -> None:
    story = (FIXTURES / "tiny" / "books" / "orchard.txt").read_text().split("\n\n")
    rows = [{"text": "\n\n".join(story[n % 5 : n % 5 + 3]) + f" {n}", "label": 1} for n in range(20)]
    rows += [{"text": f"HOME\nNews {n}\nLogin | Cart ({n})\n" * (1 + n), "label": 0} for n in range(20)]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = results(tmp_path, "quality_score.py", "--labelled", tmp_path / "pages.jsonl", "--fit")
    judged = {"length", "prose", "prose_any"}
    assert found == {f"quality_{name}{kind}" for name in judged for kind in ("", "_controlled")}


def test_build(tmp_path: Path, language_model: str, article_page: Path) -> None:
    found = results(tmp_path, "build.py", *of_an_article(article_page, tmp_path / "out", language_model))
    assert found == {"build_html_mb_per_second", "documents_html_mb_per_second", "build_share_outside_text"}


PAGE = "<html><body><nav>Menu</nav><main><p>{text}</p><pre>if a:\n    b</pre></main></body></html>"


def test_about(tmp_path: Path) -> None:
    page = b'<meta name="author" content="Ann Mill"><meta name="date" content="2024-05-03"><title>The mill</title>'
    urls = [f"https://{letter}.example/x" for letter in "abcdefgh"]
    (tmp_path / "a.warc").write_bytes(b"".join(warc_record(f"{n:012}", url, page) for n, url in enumerate(urls)))
    rows = [{"url": url, "title": "The mill", "author": "Ann Mill", "date": "2024-05-03"} for url in urls]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ("--pages", tmp_path / "a.warc", "--truth", tmp_path / "a.jsonl", "--peers-python", tmp_path / "none")
    figures = {f"about_{half}_{field}_ours" for half in ("seen", "unseen") for field in ("title", "author", "date")}
    assert results(tmp_path, "about.py", *data) == {"about_ms_a_page", *figures}


def test_filters(tmp_path: Path) -> None:
    good = "The old bridge over the river was closed on Monday for repairs that take most of the year. " * 10
    pages = b"".join(warc_record(f"{n:012}", f"https://e.org/{n}", PAGE.format(text=good).encode()) for n in range(3))
    (tmp_path / "pages.warc").write_bytes(pages)
    reasons = [None, "gopher_short_doc"]
    verdicts = {name: {"seconds": 1.5, "reasons": reasons} for name in ("c4", "gopher", "gopher_repetition", "fineweb")}
    peer = tmp_path / "python"
    peer.write_text(f"#!/bin/sh\necho '{json.dumps(verdicts)}'\n")
    peer.chmod(0o755)
    data = ("--pages", "pages.warc", "--documents", 2)
    names = {f"filters_agree_{name}" for name in verdicts} | {"filters_vs_datatrove", "filters_mb_per_second"}
    assert results(tmp_path, "filters.py", *data, "--peers-python", peer) == names
    assert results(tmp_path, "filters.py", *data, "--peers-python", tmp_path / "none") == {"filters_mb_per_second"}


def test_quality(tmp_path: Path) -> None:
    good = "The old bridge over the river was closed on Monday for repairs that take most of the year. " * 10
    rows = [{"text": f"{good}{n}", "label": 1} for n in range(10)] + [{"text": f"BUY {n}\nNOW", "label": 0} for n in range(10)]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pages = b"".join(warc_record(f"{n:012}", f"https://e.org/{n}", PAGE.format(text=good).encode()) for n in range(3))
    (tmp_path / "pages.warc").write_bytes(pages)
    names = {f"{name}_{share}" for name in ("rules", "rules_fold_by_fold") for share in ("bad_removed", "good_kept")}
    assert results(tmp_path, "quality.py", "--labelled", "labelled.jsonl", "--pages", "pages.warc") == names


def test_extract(tmp_path: Path) -> None:
    """Ours by another extractor, whose scores are fair, then by the shipped model; the only peer is Resiliparse, as installed."""
    prose = "The old bridge over the river was closed on Monday for repairs that take a year. " * 3
    folder = tmp_path / "structure"
    folder.mkdir()
    pages = b"".join(
        warc_record(f"{n:012}", f"https://e.org/{n}", PAGE.format(text=prose + f"Mill {n}.").encode()) for n in range(3)
    )
    (folder / "pages.warc.gz").write_bytes(gzip.compress(pages))
    truths = {"a": {"type": "article"}, "b": {"language": "English"}}
    for name, kind in truths.items():
        (tmp_path / f"{name}.warc").write_bytes(pages)
        rows = [{"url": f"https://e.org/{n}", "text": prose + f"Mill {n}.", **kind} for n in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"url": f"https://e.org/{n}", "code": ["if a:\n    b"], "tables": [[["x"]]], "formulas": ["x"]} for n in range(3)]
    (folder / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = [word for name in truths for word in ("--pages", tmp_path / f"{name}.warc", "--truth", tmp_path / f"{name}.jsonl")]
    options = (
        "--peers",
        "resiliparse",
        "--peers-python",
        sys.executable,
        "--extractor",
        "resiliparse",
        "--folder",
        tmp_path / "out",
    )
    found = results(tmp_path, "extract.py", *sets, *options, "--structure", folder, "--soak", 20)
    assert found == {
        *(f"extract_a_{figure}" for figure in ("words_article", "words_all", "lost", "only_ours_loses")),
        *(f"extract_b_{figure}" for figure in ("runs_english", "runs_all", "lost", "only_ours_loses")),
        *(f"extract_structure_{kind}" for kind in ("code", "tables", "formulas")),
        "extract_pages_per_second",
        "extract_soak_growth",
    }
    shipped = ("--shipped", "--peers", "--folder", tmp_path / "shipped")
    assert results(tmp_path, "extract.py", *sets, *shipped) == {"extract_pages_per_second"}


def test_ablations(four_families: Path) -> None:
    options = ("--steps", 2, "--rounds", 1, "--only", "rotary", *sets(*SMALL_MODEL, "train.eval_rows=4", "train.threads=1"))
    names = {"ablation_baseline_loss", "ablation_rotary_loss", "ablation_rotary_speed"}
    assert results(four_families, "ablations.py", *options) == names


def test_kill(four_families: Path) -> None:
    options = ("--kills", 1, "--in-saves", 0, "--steps", 14, *sets(*SMALL_MODEL, "train.threads=1"))
    assert results(four_families, "kill.py", *options) == {"kills", "kills_inside_a_save", "equal_runs"}


def test_ancestors(here: Here, four_families: Path, tmp_path: Path) -> None:
    for name, line in (("wordsim353.tsv", "the\tand\t1\n"), ("simlex999.txt", "a b 2\n"), ("questions-words.txt", "a b c d\n")):
        (tmp_path / name).write_text(line)
    options = ("--data", four_families / "build" / "demo", "--bytes", 3000, "--threads", 1, "--sst2", tmp_path / "none")
    small = sets(*SMALL_MODEL, "train.eval_rows=4", "sample.tokens=0")
    fast = ("--word-sets", tmp_path, "--only", "random", "1-gram", "5-gram", *small)
    found = here.results("ancestors.py", *options, *fast)
    times = {f"ancestors_{name}_training" for name in ("random", "1-gram", "5-gram", "gpt", "bert")}
    assert found == times | {f"ancestors_{name}_bits_per_byte" for name in ("1-gram", "5-gram", "gpt")}


def test_encoder(here: Here) -> None:
    found = here.results("encoder.py", "--rounds", 1, "--only", "ragged128", "--layers", 1, "--width", 32)
    assert found == {"encoder_ragged128_saving", "encoder_ragged128_vs_transformers"}


def test_serve(here: Here) -> None:
    shape = ("--layers", 1, "--width", 16, "--heads", 2, "--vocabulary", 300, "--threads", 1)
    found = here.results(
        "serve.py", *shape, "--tokens", 4, "--clients", 1, 2, "--rounds", 1, "--single", 2, "--soak", 8, "--servers", "serve"
    )
    names = {f"serve_{clients}_clients{of}" for clients in (1, 2) for of in ("", "_vs_generate", "_vs_serve", "_vs_padded_batch")}
    assert found == names | {"serve_wrong_answers", "serve_soak_growth"}


def test_learning(four_families: Path) -> None:
    changes = sets("train.threads=1", "train.eval_rows=4", "train.warmup_steps=0")
    options = ("--only", "families", "--data", four_families / "none", "--bytes", 2000, *changes)
    found = results(four_families, "learning.py", *options)
    assert found == {f"families_{family}_loss" for family in ("gpt", "bert", "bart", "t5")}


def test_lifelong(tmp_path: Path) -> None:
    (tmp_path / "lm" / "blimp").mkdir(parents=True)
    for name in ("wikitext-2-raw-valid", "tinyshakespeare"):
        paragraphs = [f"the {name} of {n} stood near {n * n % 97} rivers and {n * 7 % 31} houses\n" * 30 for n in range(60)]
        (tmp_path / "lm" / f"{name}.txt").write_text("\n".join(paragraphs))
    pairs = [json.dumps({"sentence_good": f"all {n} of them were seen by the {n % 13} others ."}) for n in range(2000)]
    (tmp_path / "lm" / "blimp" / "passive.jsonl").write_text("\n".join(pairs) + "\n")
    changes = sets(*SMALL_MODEL, "train.threads=1", "train.eval_rows=4")
    options = ("--data", tmp_path / "lm", "--bytes", 1000, "--rows", 4, "--pieces", 400, "--only", "nothing", "replay")
    found = results(tmp_path, "lifelong.py", *options, *changes)
    names = ("forgetting", "mean_loss", "new_loss")
    assert found == {f"lifelong_{method}_{name}" for method in ("nothing", "replay") for name in names}


def test_report_page(here: Here, tiny) -> None:
    names = here.results("report_page.py", "--documents", 12_000, "--build", tiny.out)
    assert names == {"report_page_megabytes", "report_page_documents_per_second", "report_page_share_of_build"}
