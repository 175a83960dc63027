"""Tickets: the right to one request in a mode, and to a deployment, of the asker's choice."""

from __future__ import annotations

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.chosen import chosen_deployment
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route, answer


def ticket_routes(services: Services) -> list[Route]:
    """The route /v1/tickets."""

    async def mint(request: web.Request) -> web.Response:
        wanted = await read_json(request, models.TicketRequest)
        active = known_function(services, wanted.function)
        deployment = await chosen_deployment(services, active, wanted.deployment)
        ticket = services.platform.mint_ticket(active.function, wanted.mode, deployment)
        return answer(models.Ticket(ticket=ticket))

    return [
        Route(
            "POST", "/v1/tickets", "mintTicket", "A ticket for one request in a mode", mint, models.Ticket,
            body=models.TicketRequest, errors=(404, 413, 415),
        ),
    ]  # fmt: skip
