"""`dialback doctor`: what a machine offers to a platform, one check a function."""
