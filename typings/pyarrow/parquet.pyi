# pyarrow comes without types; to pyright, everything in it is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
