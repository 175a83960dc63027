"""The `dialback` command and the all-in-one process."""
