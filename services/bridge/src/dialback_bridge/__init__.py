"""The bridge: runs a function inside a worker and dials its answers back."""
