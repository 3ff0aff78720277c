"""The only files that import apache_beam."""

import logging


def _matters(record: logging.LogRecord) -> bool:
    return "apitools not found" not in record.getMessage()


# On import Beam logs that BigQuery is not installed: nothing here uses it, and a user would look for an error.
logging.getLogger().addFilter(_matters)
