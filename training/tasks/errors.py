"""The errors of a task's data or settings, and of a prompt's."""

from pipelines.contract.errors import UserError


class TaskError(UserError):
    """A task cannot be trained or used as asked; the message names the file or field, the place and the fix."""


class PromptError(UserError):
    """A model cannot be prompted as configured; the message names the field or file and the fix."""
