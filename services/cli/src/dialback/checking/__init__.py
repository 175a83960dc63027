"""`dialback check`: where on its way a stream is held back or changed, found out by timing marked chunks."""
