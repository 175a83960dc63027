"""A whole platform for tests: on free ports, in a folder of its own, gone afterwards. Pytest users have fixtures for it
(`dialback.pytest_plugin`).
"""

from dialback.testing.function import TestedFunction
from dialback.testing.platform import TestPlatform

__all__ = ["TestPlatform", "TestedFunction"]
