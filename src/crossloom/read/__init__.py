"""The three readings of a program: values, timeline, ledger. Each walks the stages and asks nobody but the program."""
