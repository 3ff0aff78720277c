"""One file per stage: its VERSION, and `stage(…)`, which returns its function with everything that determines it (base.py)."""
