"""The environments of functions that have dependencies: found, hashed, built, shared, removed."""
