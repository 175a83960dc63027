"""Dialback's benchmark: servers visited in turn, ratios inside each round. See `python -m bench --help`."""
