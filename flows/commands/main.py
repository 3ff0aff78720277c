"""The command line: `corpusmill COMMAND …`. `corpusmill --help` lists the commands by subject (subjects.py).

Each file beside this one and in corpora/ adds the commands of one subject. Heavy packages are imported in the command that
needs them, so that `corpusmill --help` and a mistyped option answer at once.
"""

import argparse
import codecs
import io
import os
import select
import signal
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from flows.commands import asking, completion, deployments, evaluation, exchange, small, training
from flows.commands.corpora import benchmarks, build, copies, corpus, extract, fit_rules, page_model, review, sample, tune
from flows.commands.subjects import Subjects, add_examples
from flows.commands.versions import ShowVersions
from pipelines.contract.errors import as_user_error
from pipelines.contract.storage.cache import lend_home

MISTAKE = 1  # exit codes: an error that a user can mend,
BUG = 70  # and any other exception (EX_SOFTWARE of sysexits.h)
_EPILOG = f"""\
exit codes: 0 done; {MISTAKE} an error that you can mend: one line names it and the fix; 2 a wrong command line; {BUG} a bug;
129, 130, 138 or 143 stopped by SIGHUP, Ctrl-C, SIGUSR1 or SIGTERM: the same command resumes.
CORPUSMILL_TRACEBACK=1 shows the traceback of every error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    0: done. 1: an error that a user can mend (pipelines.contract.errors.as_user_error), one line on stderr. 2: a wrong command
    line. 70: a bug; stderr shows its traceback and where to report it. 129, 130, 138 and 143: stopped in order by
    SIGHUP (a closed terminal), Ctrl-C, SIGUSR1 (Slurm's notice) or SIGTERM.
    141: the reader of the output has closed it.
    """
    _print_anything()
    parsed = _parser().parse_args(arguments)
    lend_home()
    with _stopping() as signals:
        try:
            code = int(parsed.run(parsed))
            sys.stdout.flush()
            return code
        except (KeyboardInterrupt, Exception) as error:
            if os.environ.get("CORPUSMILL_TRACEBACK"):
                raise
            # The signal decides, not the error: libraries wrap a KeyboardInterrupt in errors of their own.
            if signals or isinstance(error, KeyboardInterrupt):
                with suppress(OSError):  # the terminal may be closed
                    print("corpusmill: stopped; finished work is kept, and the same command resumes from there", file=sys.stderr)
                return 128 + (signals[0] if signals else signal.SIGINT)
            return _report(error)


def _print_anything() -> None:
    """Let a terminal that knows few characters (LANG=C) show the others as escapes, and read any bytes as prompts."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        is_ascii = codecs.lookup(sys.stdin.encoding).name == "ascii"
        sys.stdin.reconfigure(encoding="utf-8" if is_ascii else sys.stdin.encoding, errors="replace")


def _report(error: BaseException) -> int:
    """Print what a user needs to know of an error; return the exit code."""
    if isinstance(error, BrokenPipeError) and _is_closed():
        return 128 + signal.SIGPIPE
    mistake = as_user_error(error)
    if mistake is not None:
        print(f"corpusmill: {mistake}", file=sys.stderr)
        return MISTAKE
    traceback.print_exception(error)
    name = f"{type(error).__name__}: {error}".splitlines()[0]
    print(
        f"corpusmill: this is a bug in corpusmill ({name}); please report it to the maintainers, with the traceback above, the"
        " command and its config",
        file=sys.stderr,
    )
    return BUG


def _is_closed() -> bool:
    """Return whether the reader of standard output has gone, as in `corpusmill explain … | head`; drop what is buffered then."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more when it ends
    return True


@contextmanager
def _stopping() -> Generator[list[int]]:
    """Let signals to stop raise KeyboardInterrupt, so that workers and files are cleared away; yield the signals received.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corpusmill",
        description="Build pretraining corpora and pretrain language models on them.",
        epilog=_EPILOG,
        formatter_class=Subjects,
    )
    parser.add_argument(
        "--version", action=ShowVersions, help="print the versions of corpusmill, Python and the packages that decide results"
    )
    commands = parser.add_subparsers(title="commands, by subject", required=True, metavar="COMMAND")
    for subject in (
        sample,
        benchmarks,
        build,
        extract,
        fit_rules,
        page_model,
        corpus,
        review,
        tune,
        copies,
        exchange,
        training,
        asking,
        small,
        evaluation,
        deployments,
    ):
        subject.add_commands(commands)
    completion.add_commands(commands, _parser)
    add_examples(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
