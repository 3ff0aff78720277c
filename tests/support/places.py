"""Where tests find things: the repository, their fixtures, and the real inputs beside a checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "data"
SHARED = ROOT / ".." / "shared" / "data"  # real inputs; tests that need them skip where they are absent
CASES = ROOT / ".." / "shared" / "cases"
