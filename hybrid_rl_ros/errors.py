"""The one exception for what a user can mend: it becomes one line on stderr and exit status 2."""

from __future__ import annotations

USER_ERROR_EXIT = 2


class UserError(Exception):
    """Something the user can mend; the message says what, where, and what was expected."""
