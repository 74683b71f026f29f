"""Who acts: what a history says where nobody gave a name."""

from __future__ import annotations

import getpass
import os
import socket


def acting_user() -> str:
    """The signed-in user and the machine, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container the number may have no name.
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
