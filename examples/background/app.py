"""An answer now, and the work behind it: `POST /` takes an order, `GET /` says what became of the orders.

The order is confirmed at once; what `wait_until` was given goes on behind the response, and the worker is not taken
away before it is done.
"""

import asyncio
import time

from dialback_bridge import Response, current_invocation, wait_until

SECONDS = 1.0
orders = {}  # of this worker; a real function would have them in a database


def GET(request):
    return orders


async def POST(request):
    number = current_invocation().id
    orders[number] = "accepted"
    wait_until(prepare(number, await request.text()))
    return Response({"order": number, "state": orders[number]}, 202)


async def prepare(number, what):
    began = time.monotonic()
    await asyncio.sleep(SECONDS)  # a letter is written, an index is updated, a picture is scaled
    orders[number] = "ready"
    print(f"{what or 'nothing'} was ready {time.monotonic() - began:.1f} s after it was ordered")
