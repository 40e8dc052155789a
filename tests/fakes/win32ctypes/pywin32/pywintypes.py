"""The error that the Windows calls of pywin32-ctypes raise."""

from __future__ import annotations


class error(Exception):  # noqa: N801, N818  its name there
    """A call of Windows that failed: its number, which call it was, and what Windows says."""

    def __init__(self, winerror: int, funcname: str, strerror: str) -> None:
        super().__init__(winerror, funcname, strerror)
        self.winerror = winerror
        self.funcname = funcname
        self.strerror = strerror
