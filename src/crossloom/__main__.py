"""`python -m crossloom` is the command `crossloom`."""

from crossloom.cli import main

main()
