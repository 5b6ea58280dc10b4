"""`python -m crossloom` is the command `crossloom`."""

from crossloom.cli.app import main

main()
