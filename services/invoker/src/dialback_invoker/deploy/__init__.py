"""From an uploaded bundle to a running version: unpack, look at it, store it, activate it."""
