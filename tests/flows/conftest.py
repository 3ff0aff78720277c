"""A Prefect server, and a training that takes a moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """A real Prefect server with a database of its own, for all flows of the tests."""
    with prefect_test_harness(server_startup_timeout=300):
        yield


TINY_RUN = """
[data]
tokens = "named by the flow"
batch_rows = 8
[rows]
length = 16
[model]
family = "gpt"
layers = 1
heads = 2
width = 16
[train]
steps = 6
learning_rate = 1e-2
eval_every = 3
eval_rows = 16
save_every = 3
log_every = 1
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "named by the flow"
[sample]
tokens = 0
"""


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config that trains in a moment; a flow says of what and where."""
    path = tmp_path_factory.mktemp("configs") / "gpt.toml"
    path.write_text(TINY_RUN)
    return path
