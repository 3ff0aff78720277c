"""One file a stage: a VERSION and a function from config to `Batch -> Batch`."""
