"""Which of a function's deployments somebody means."""

from __future__ import annotations

from dialback_invoker.control.ports import Services
from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import NotFound


async def chosen_deployment(services: Services, active: Deployment, wanted: str | None) -> Deployment | None:
    """The deployment with the id ``wanted``, None for the active one. Raises NotFound for one that is not kept."""
    if wanted is None or wanted == active.id:
        return None
    for deployment in await services.store.deployments(active.function):
        if deployment.id == wanted:
            return deployment
    raise NotFound(f"{active.function} has no deployment {wanted[:64]!r}; it may be gone", code="deployment_not_found")
