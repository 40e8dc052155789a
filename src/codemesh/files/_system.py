"""The one place that chooses between the platforms.

`system` is `_posix` or `_windows`; both offer the same names. The test is written
so that a type checker follows the branch of the platform it is asked about.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from codemesh.files import _windows as system
else:
    from codemesh.files import _posix as system

__all__ = ["system"]
