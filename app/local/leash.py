"""Runs a command that the kernel ends when its parent dies: `leash.py PARENT_PID SIGNAL USER command…`.

If USER is another user, the leash also opens the working directory as FOLDER_FD: the command then reaches it through
/proc/self/fd, even if its user may not enter the folders above.

This is a separate file, run with `python -I -S`, because it must start fast and must not import the package.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
FOLDER_FD = 9


def main() -> None:
    """Switch to USER (`-`: stay), ask the kernel (Linux) for SIGNAL when the parent dies, then exec the command."""
    parent, signal_number, user, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    libc = ctypes.CDLL(None)
    if user != "-":  # before prctl: a change of user clears its setting
        os.dup2(os.open(".", os.O_RDONLY), FOLDER_FD)
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before prctl took effect
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
