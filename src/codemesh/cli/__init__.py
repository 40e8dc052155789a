"""The command line: `codemesh`, also installed as `code-mesh`.

`run` is the entry point. It makes the process safe, takes the short way to `auth token`
where it can, and turns every error into one or two lines and an exit status.
"""

from __future__ import annotations

import gc
import os
import sys

from codemesh.errors import CodemeshError

INTERRUPTED = 130
_PASSPHRASES = ("CODEMESH_PASSPHRASE", "CODEMESH_NEW_PASSPHRASE")
_DEBUG = "CODEMESH_DEBUG"


def run() -> None:
    """Run the command line with the arguments of the process, and exit."""
    gc.disable()  # a process this short leaves nothing worth collecting
    status = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue  # what could not be written was said already
    # All is written and every lock is the kernel's: the interpreter's own end would only
    # take time, a sixth of what reading one credential costs.
    os._exit(status)


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    _harden()
    from codemesh.cli import terminal

    try:
        return _dispatch(arguments)
    except CodemeshError as error:
        terminal.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        terminal.say("")  # the next shell prompt starts on a line of its own
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away; what is still buffered has nowhere to go.
        terminal.abandon(sys.stdout)
        return 1


def _dispatch(arguments: list[str]) -> int:
    environ = dict(os.environ)
    for variable in _PASSPHRASES:
        os.environ.pop(variable, None)  # so no child ever gets it
    if arguments == ["--version"]:
        from codemesh import __version__
        from codemesh.cli import terminal

        terminal.out(__version__)
        return 0
    from codemesh.cli import token
    from codemesh.cli.session import Session

    if "_CODEMESH_COMPLETE" not in environ and "_CODE_MESH_COMPLETE" not in environ:
        session = Session(environ)
        request = token.parse(arguments, session)
        if request is not None:
            token.print_token(session, request)
            return 0
    from codemesh.cli import app

    return app.run(arguments, Session(environ))


def _harden() -> None:
    """No core dump that could hold a secret, and no traceback that shows one."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    sys.excepthook = _unexpected


def _unexpected(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Say that a defect was met, without the values that a traceback's text may quote."""
    del error
    from traceback import StackSummary, format_list, walk_tb
    from types import TracebackType

    frames = trace if isinstance(trace, TracebackType) else None
    summary = StackSummary.extract(walk_tb(frames), capture_locals=False)
    place = f"{os.path.basename(summary[-1].filename)}:{summary[-1].lineno}" if summary else "?"
    sys.stderr.write(f"codemesh: internal error: {kind.__name__} at {place}\n")
    if os.environ.get(_DEBUG) == "1":
        sys.stderr.write("".join(format_list(summary)))
    else:
        sys.stderr.write(f"This is a defect of codemesh. {_DEBUG}=1 shows where it happened.\n")
