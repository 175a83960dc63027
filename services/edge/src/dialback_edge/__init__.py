"""The edge: the public HTTP/1.1 front."""
