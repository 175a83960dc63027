"""The wire protocol between the processes of Dialback, without I/O. See docs/protocol.md."""
