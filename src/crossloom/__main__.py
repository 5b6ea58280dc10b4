"""Entry point of `python -m crossloom`, the same as the command `crossloom`."""

from crossloom.cli.app import main

main()
