"""Whether a path is on a disk of this machine; a network share may stall for minutes."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

# Types of file systems that another machine, or the host of a virtual one, answers for.
_REMOTE: Final = frozenset(
    {
        *(
            "nfs",
            "nfs3",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "afpfs",
            "webdav",
            "davfs",
            "9p",
            "ceph",
            "glusterfs",
        ),
        *("lustre", "beegfs", "afs", "ncpfs", "vboxsf", "vmhgfs", "prl_fs", "fuse.sshfs", "fuse.glusterfs"),
        *("fuse.vmhgfs-fuse", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.davfs2"),
    }
)
_DRIVE_REMOTE: Final = 4  # GetDriveTypeW, in winbase.h


def is_local(path: Path) -> bool:
    """Whether `path`, which need not exist yet, lies on a local disk; so too where that cannot be told.

    Windows's part is untested.
    """
    absolute = Path(os.path.realpath(path))
    if sys.platform == "win32":
        return not (
            absolute.drive.startswith("\\\\")
            or ctypes.windll.kernel32.GetDriveTypeW(f"{absolute.drive}\\") == _DRIVE_REMOTE
        )
    import psutil  # a report starts faster without it

    try:
        mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    except (OSError, psutil.Error):
        return True
    return next((mounts[one] for one in (absolute, *absolute.parents) if one in mounts), "") not in _REMOTE
