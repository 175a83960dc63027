"""Stand-ins for what lies between an edge and its clients in production: slow readers, long ways, cuts, buffers."""
