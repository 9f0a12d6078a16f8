"""Giving the beginning of a file back to the disk while somebody appends to it."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02
_BLOCK_BYTES = 4096
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS}


def punch_hole(path: Path, length: int) -> None:
    """Free the first `length` bytes, whole blocks of them; the file keeps its size and offsets.

    Where the file system cannot, the space comes back when the file is deleted.
    """
    whole = length - length % _BLOCK_BYTES
    if whole <= 0 or sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("r+b") as file:
        result = libc.fallocate(
            file.fileno(),
            _KEEP_SIZE_AND_PUNCH_HOLE,
            ctypes.c_longlong(0),
            ctypes.c_longlong(whole),
        )
    if result != 0 and ctypes.get_errno() not in _UNSUPPORTED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
