"""How a subject is told to do without the processes that workers fork from, if this version of Dialback has any."""

from bench.subjects.base import Missing
from dialback import setting_values

KEY = "ZYGOTES"


def without_zygotes() -> dict[str, str]:
    """The environment that says so. Raises Missing when every worker is started anew in this version."""
    if not hasattr(setting_values, KEY):
        raise Missing("this version has no zygotes: the other rows are without one, too")
    return {f"DIALBACK_{KEY}": "0"}
