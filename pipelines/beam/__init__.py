"""The only files that import apache_beam."""

import logging


def _is_of_interest(record: logging.LogRecord) -> bool:
    return "apitools not found" not in record.getMessage()


# Beam says on import that BigQuery is not installed: nothing here wants it, and a user would look for an error.
logging.getLogger().addFilter(_is_of_interest)
