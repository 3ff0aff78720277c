"""What a run takes of a machine, computed before it starts: memory, disk, operations."""
