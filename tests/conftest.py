"""Rules for every test: a home of the tests' own, one thread per library, hypothesis's profiles, groups for pytest-xdist."""

import os
from collections.abc import Iterator

import home
import pytest
from hypothesis import HealthCheck, settings

home.enter()  # before Prefect and others look for their settings

# One thread per library: tests run side by side, and their inputs are small. Set before NumPy and torch are imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

_SHARED = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])  # kernels compile at first
# The same examples in every run and on every machine. What a random search found is kept in the tests as an @example.
settings.register_profile("quick", _SHARED, max_examples=60, derandomize=True, database=None)
# make test-thorough: new examples in every run.
settings.register_profile("thorough", _SHARED, max_examples=2000, derandomize=False)
settings.load_profile("quick")  # --hypothesis-profile=thorough replaces it


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: what is compressed holds the time, and all workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share a fixture of their module on one worker of pytest-xdist."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


def _shares_a_fixture(item: pytest.Item) -> bool:
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009
    return any(definition.scope == "module" for found in definitions.values() for definition in found)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the tests' home at the end; it belongs to the controller of pytest-xdist, not to its workers."""
    if not hasattr(config, "workerinput"):
        home.leave()


@pytest.fixture(autouse=True)
def _real_home_stays_as_it_is() -> Iterator[None]:
    """Fail a test that tried to write below the user's home: a library may swallow the error that the guard raised."""
    yield
    refused = home.refused_writes()
    assert not refused, f"a test may not write below the user's home: {refused}"
