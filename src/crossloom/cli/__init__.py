"""The command line: mostly one file per command; shared options are in `options.py`, the application and its error handling in `app.py`."""
