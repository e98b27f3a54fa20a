"""Runs a command that the kernel ends when its starter dies: `leash.py PARENT_PID SIGNAL USER command…`.

With another user the working directory is also open as FOLDER_FD, so that the command reaches it through /proc/self/fd
although its user may not pass the folders above.

A file of its own, run with `python -I -S`: it must start fast and must not import the package.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
FOLDER_FD = 9


def main() -> None:
    """Become USER (`-`: stay), ask for SIGNAL at the parent's death (Linux), become the command: same process id."""
    parent, signal_number, user, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    libc = ctypes.CDLL(None)
    if user != "-":  # before the wish: a change of user clears it
        os.dup2(os.open(".", os.O_RDONLY), FOLDER_FD)
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew of our wish
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
