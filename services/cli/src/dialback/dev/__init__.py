"""`dialback dev`: a function while it is written. Saved code runs at once, and what goes wrong is shown where it is."""
