"""The wire protocol between the processes of Dialback, `dialback/1`, without I/O.

Bytes in, calls on sinks out; no socket, no clock, no thread. `docs/protocol.md` is the specification, this package its
reference implementation. Where to look:

- `messages`: what frames carry; `frames`: how each is laid out in bytes; `reader`: bytes to frames
- `tables`: which frame is legal when, for each seat; `stream`: one stream's state; `sink`: what its owner is told;
  `outbox` and `flow`: what it has to send, credit, the shared budget
- `mux`: many streams on one carrier, the class that everybody uses; `memory`: two of them joined without a carrier
- `proof`: how the two ends of a link prove that they know the key
- `tokens`, `ids`, `payload`, `fields`: rules that all processes share
"""
