"""`corpusmill train-extractor`: the model of web pages, from pages whose text people took."""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from flows.commands.arguments import Commands, positive
from pipelines.contract.errors import UserError


class MissingTrainerError(UserError):
    """LightGBM is not installed."""


class TargetError(UserError):
    """A file that cannot be written because its path is a folder."""


def add_commands(commands: Commands) -> None:
    """Add `train-extractor`."""
    command = commands.add_parser(
        "train-extractor",
        help="train the model of web pages on labelled pages, and judge it on sites that it has not seen",
        description="A truth file has a JSON object a line: the url of a page, the text that people took from it, and if you"
        " like its type or language, by which scores are reported. The pages are responses in WARC files. The file that is"
        " written has a card with the scores of models that were trained without the site they were judged on.",
    )
    command.add_argument("truth", nargs="+", type=Path, metavar="TRUTH", help="JSON Lines with url and text")
    command.add_argument("--pages", nargs="+", type=Path, required=True, metavar="WARC", help="the archives with the pages")
    command.add_argument("--out", type=Path, metavar="FILE", help="where the model goes; without it, models are only judged")
    command.add_argument(
        "--predictions", type=Path, metavar="FILE", help="where the texts of the judged models go, as JSON Lines"
    )
    command.add_argument("--folds", type=positive, default=5, help="of the cross-validation (default: %(default)s)")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--threads", type=positive, default=1, help="of LightGBM; any number gives the same model")
    command.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    if find_spec("lightgbm") is None or find_spec("rapidfuzz") is None:  # before the pages are read
        raise MissingTrainerError(
            "train-extractor needs the package lightgbm, which is not installed: pip install 'lightgbm>=4.6,<5'"
            " 'rapidfuzz>=3.13,<4' (of the extra bench)"
        )
    for path in (arguments.out, arguments.predictions):
        if path is not None:
            _prepare(path)
    import numpy as np

    from pipelines.page_model.train import Pages, train
    from pipelines.page_model.truth import labelled_pages
    from pipelines.page_model.validate import validate, with_card
    from pipelines.text.extraction.pages import forest

    data = Pages(labelled_pages(arguments.truth, arguments.pages))
    print(f"pages: {len(data.pages):,}, sites: {len(data.site_names):,}", file=sys.stderr)
    settings = {"seed": arguments.seed, "threads": arguments.threads}
    report = validate(data, folds=arguments.folds, on_fold=lambda fold: print(f"fold {fold + 1}", file=sys.stderr), **settings)
    print(f"{'pages of':16} {'pages':>6} {'words F1':>9} {'lost':>6} {'runs F1':>8}")
    for name, row in report.summaries.items():
        print(f"{name or '-':16} {row.pages:6,} {row.word_f1:9.4f} {row.lost:6.3f} {row.run_f1:8.4f}")
    if arguments.predictions:
        lines = [{"url": page.url, "text": text} for page, text in zip(data.pages, report.texts, strict=True)]
        arguments.predictions.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    if arguments.out:
        names = [path.name for path in (*arguments.truth, *arguments.pages)]
        model = train(data, np.ones(len(data.pages), np.bool_), **settings)
        forest.save(with_card(model, data, report, folds=arguments.folds, seed=arguments.seed, names=names), arguments.out)
    return 0


def _prepare(path: Path) -> None:
    """Make the folder of a file that is written after a long time. Raise TargetError if the path is a folder."""
    if path.is_dir():
        raise TargetError(f"{path}: is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
