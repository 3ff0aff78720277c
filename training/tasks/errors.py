"""The error of a task's data or settings."""

from pipelines.contract.errors import UserError


class TaskError(UserError):
    """A task cannot be trained or used as asked; the message names the file or field, the place and the fix."""
