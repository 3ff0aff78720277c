"""What a worker does at a time: a unit, its parts, its temporary columns, and the context of the build."""
