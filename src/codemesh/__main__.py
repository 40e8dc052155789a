"""The way in: the commands `codemesh` and `code-mesh`, and `python -m codemesh`.

Nothing is ever imported from the current directory, where anybody's json.py could lie.
`-m` puts that folder first on the path, and so does an empty part of PYTHONPATH. This
takes it off again before any other import; the package itself imports nothing until asked.
What Python itself imports earlier, such as sitecustomize, is beyond reach from here.
"""

import os
import sys


def _forget_current_directory() -> None:
    try:
        here = os.getcwd()
    except OSError:  # it was removed: nothing can lie there
        return
    # Standing in one of these is no reason to lose what must be loaded from there.
    package = os.path.dirname(os.path.abspath(__file__))
    needed = {os.path.dirname(package), os.path.dirname(os.path.abspath(os.__file__))}
    if here not in needed:
        sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]


_forget_current_directory()

from codemesh.cli import run  # noqa: E402  only now is the path safe

if __name__ == "__main__":
    run()
