"""What others may know of a dataset: schemas, batches, the ledger, the manifest."""
