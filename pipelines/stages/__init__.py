"""One file per stage: its VERSION, and `stage(…)`, which joins its function to everything that determines it (base.py)."""
