"""The three readings of a program: values, timeline, ledger. Each walks the stages and depends only on the program."""
