"""The contract between the programs: schemas, batches, the ledger, the manifest, token shards, tokenizers, errors."""
