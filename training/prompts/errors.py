"""The error of a prompt's pattern, words or settings."""

from pipelines.contract.errors import UserError


class PromptError(UserError):
    """A model cannot be prompted as configured; the message names the field or file and the fix."""
