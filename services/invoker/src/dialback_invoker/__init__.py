"""The invoker: from a request on the link to a worker, and its stream back."""
