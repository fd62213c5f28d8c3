"""Who else may change a file: a key or a certificate that somebody else could plant is not ours to use.

On Windows the access list decides, never the mode; that part is untested on Windows, but for the pure function.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

# learn.microsoft.com/windows/win32/secauthz/sid-strings: system, administrators (of the machine, the domain, the
# forest, and the built-in one), the owner's own rights, and the owner of what will be made there.
_ADMINISTRATORS: Final = frozenset(
    {"SY", "BA", "DA", "EA", "LA", "OW", "CO", "S-1-5-18", "S-1-5-32-544", "S-1-3-0", "S-1-3-4"}
    # TrustedInstaller, which owns what Windows brings.
    | {"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"}
)
# learn.microsoft.com/windows/win32/secauthz/ace-strings: what lets somebody change, replace or delete.
_WRITING_WORDS: Final = frozenset(
    {"GA", "GW", "FA", "FW", "KA", "KW", "SD", "WD", "WO", "CC", "DC", "LC", "SW", "DT"}
)
# Write data, append, write extended attributes, delete child, write attributes, delete, WRITE_DAC, WRITE_OWNER,
# GENERIC_ALL, GENERIC_WRITE.
_WRITING_BITS: Final = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x10000 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000


def strangers_of(path: Path) -> list[str]:
    """The accounts that own `path` or may write to it, beside this account and administrators. Raises OSError.

    On POSIX as `account number 1000`, `its group`, `everybody`; on Windows as SIDs.
    """
    if sys.platform == "win32":
        return strangers_in(_sddl_of(path), _own_sid())
    status = path.stat()
    found = [] if status.st_uid in (0, os.geteuid()) else [f"account number {status.st_uid}"]
    found += ["its group"] if status.st_mode & 0o020 else []
    return found + (["everybody"] if status.st_mode & 0o002 else [])


def readers_of(path: Path) -> list[str]:
    """Who can read the file `path` beside its owner and administrators, on POSIX; nobody is looked for on Windows.

    Raises OSError.
    """
    mode = path.stat().st_mode if os.name == "posix" else 0
    return [who for who, bit in (("its group", 0o040), ("everybody", 0o004)) if mode & bit]


def strangers_in(sddl: str, own: str) -> list[str]:
    """The SIDs in a security descriptor that own or may write, beside `own` (a SID) and administrators. Pure.

    `sddl` as learn.microsoft.com/windows/win32/secauthz/security-descriptor-string-format has it, such as
    `O:BAD:PAI(A;;FA;;;SY)`. A descriptor without a list of access lets everybody in: `everybody`.
    """
    allowed = _ADMINISTRATORS | {own}
    owner = re.search(r"O:(S-[\d-]+|[A-Z]{2})", sddl)
    found = [] if owner is not None and owner[1] in allowed else [owner[1] if owner else "an unknown owner"]
    access = re.search(r"D:([^(]*)((?:\([^)]*\))*)", sddl)
    if access is None or "NO_ACCESS_CONTROL" in access[1]:
        return [*found, "everybody"]
    for entry in re.findall(r"\(([^)]*)\)", access[2]):
        kind, flags, rights, _, _, who, *_ = [*entry.split(";"), *[""] * 6][:7]
        # Inherit-only entries say nothing of this file.
        if kind in ("A", "OA", "XA") and "IO" not in flags and _writes(rights) and who not in allowed:
            found.append(who)
    return list(dict.fromkeys(found))


def _writes(rights: str) -> bool:
    if re.match(r"0x|\d", rights):
        return bool(int(rights, 0) & _WRITING_BITS)
    return not _WRITING_WORDS.isdisjoint(rights[at : at + 2] for at in range(0, len(rights), 2))


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _OWNER_AND_LIST: Final = 0x1 | 0x4
    _FILE_OBJECT: Final = 1
    _TOKEN_QUERY: Final = 0x8
    _TOKEN_USER: Final = 1

    def _sddl_of(path: Path) -> str:
        advapi, kernel = ctypes.windll.advapi32, ctypes.windll.kernel32
        descriptor, text = ctypes.c_void_p(), wintypes.LPWSTR()
        failed = advapi.GetNamedSecurityInfoW(
            str(path), _FILE_OBJECT, _OWNER_AND_LIST, None, None, None, None, ctypes.byref(descriptor)
        )
        if failed:
            raise ctypes.WinError(failed)
        try:
            if not advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor, 1, _OWNER_AND_LIST, ctypes.byref(text), None
            ):
                raise ctypes.WinError()
            said = str(text.value)
            kernel.LocalFree(text)
            return said
        finally:
            kernel.LocalFree(descriptor)

    def _own_sid() -> str:
        advapi, kernel = ctypes.windll.advapi32, ctypes.windll.kernel32
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        token, text = wintypes.HANDLE(), wintypes.LPWSTR()
        process = wintypes.HANDLE(kernel.GetCurrentProcess())
        if not advapi.OpenProcessToken(process, _TOKEN_QUERY, ctypes.byref(token)):
            raise ctypes.WinError()
        try:
            # TOKEN_USER: a pointer to the SID, its attributes, and the SID itself, 68 bytes at most.
            buffer = ctypes.create_string_buffer(128)
            size = wintypes.DWORD()
            if not advapi.GetTokenInformation(token, _TOKEN_USER, buffer, len(buffer), ctypes.byref(size)):
                raise ctypes.WinError()
            sid = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_void_p))[0]
            if not advapi.ConvertSidToStringSidW(ctypes.c_void_p(sid), ctypes.byref(text)):
                raise ctypes.WinError()
            said = str(text.value)
            kernel.LocalFree(text)
            return said
        finally:
            kernel.CloseHandle(token)
