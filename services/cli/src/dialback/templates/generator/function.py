"""A Lambda handler that yields, so that its answer streams: first the head, then the body."""

import time


def handler(event, context):
    yield {"statusCode": 200, "headers": {"content-type": "text/plain; charset=utf-8"}}
    for number in range(1, 6):
        yield f"line {number}\n"
        time.sleep(0.5)
