"""`python -m codemesh`, without ever importing from the current directory."""

import os
import sys

# `-m` puts the current directory first on the path, where anybody's json.py could lie.
# This comes before every other import; the package itself imports nothing until asked.
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from codemesh.cli import run

if __name__ == "__main__":
    run()
