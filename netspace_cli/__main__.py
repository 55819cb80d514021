"""`python -m netspace_cli`, and what the `netspace` script calls."""

from __future__ import annotations

from netspace_cli.cli import cli


def main() -> None:
    """Run the command line of this process; never returns."""
    cli.main(prog_name="netspace")


if __name__ == "__main__":
    main()
