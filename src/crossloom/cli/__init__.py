"""The command line: one file for each command, the shared options in `options.py`, the application and its errors in `app.py`."""
