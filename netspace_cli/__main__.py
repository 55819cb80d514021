"""Entry point of `python -m netspace_cli` and the `netspace` script."""

from __future__ import annotations

import atexit
import gc
import signal


def main() -> None:
    """Run the command line of this process; never returns."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until the command line minds Ctrl-C itself, it ends the process without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Importing torch makes many objects, and looking through them again and again takes a tenth of a short command.
    gc.set_threshold(100_000, 20, 50)
    # At the end Python would look through all of them once more.
    atexit.register(gc.freeze)
    from netspace_cli.core.runtime.memory import keep_freed_memory

    keep_freed_memory()
    from netspace_cli.cli import cli

    cli.main(prog_name="netspace")


if __name__ == "__main__":
    main()
