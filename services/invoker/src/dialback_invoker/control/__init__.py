"""The control API and its page: what people and the command line ask the platform for. Never on the public port."""
