"""A Lambda handler that yields: first the head, then the body piece by piece, 200 ms apart.

On AWS a Python function can only return a whole value. Here the same code streams (mode "callback") or arrives at
once after two seconds (mode "buffered"); the code cannot tell the difference, the client can.
"""

import time

PIECES = 10
SECONDS_BETWEEN = 0.2


def handler(event, context):
    yield {"statusCode": 200, "headers": {"content-type": "text/plain; charset=utf-8"}}
    start = time.monotonic()
    finished = False
    try:
        for number in range(1, PIECES + 1):
            yield f"piece {number} of {PIECES}, made after {time.monotonic() - start:.1f} s\n"
            if number < PIECES:
                time.sleep(SECONDS_BETWEEN)
        finished = True
    finally:
        # A client that leaves closes the generator at its next yield: the place to let go of what the function holds.
        print("all sent" if finished else "the client left")
