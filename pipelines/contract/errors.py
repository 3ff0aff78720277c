"""The one base class of every error that a user can mend."""


class UserError(ValueError):
    """The message is one line that names the file or field, the place and the fix.

    The command line prints it as it is and exits with code 1. Any other exception is a bug and keeps its traceback.
    """
