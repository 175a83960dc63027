"""The addresses on the public port that belong to `dialback dev`."""

PREFIX = "/_dialback/dev/"
CLIENT = PREFIX + "client.js"
EVENTS = PREFIX + "events"
