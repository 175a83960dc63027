"""`python -m dialback`."""

from dialback.main import main

main()
