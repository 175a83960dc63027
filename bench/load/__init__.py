"""The load generator: a process of its own, uvloop and httptools, cheap enough not to measure itself."""
