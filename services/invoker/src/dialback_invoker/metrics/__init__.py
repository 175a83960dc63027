"""What the invoker counts, and Prometheus' text of it."""
