"""Where a request's CPU time goes: by process, by package and by function. See `python -m bench.profile --help`."""
