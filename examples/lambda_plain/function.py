"""A plain AWS Lambda handler behind a Function URL. The same file runs on AWS as it is."""

import json


def handler(event, context):
    http = event["requestContext"]["http"]
    name = (event.get("queryStringParameters") or {}).get("name", "world")
    visits = 1 + visits_so_far(event.get("cookies", []))
    answer = {
        "message": f"Hello {name}",
        "visits": visits,
        "method": http["method"],
        "path": event["rawPath"],
        "request_id": context.aws_request_id,
        "milliseconds_left": context.get_remaining_time_in_millis(),
    }
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "cookies": [f"visits={visits}; Path=/; HttpOnly"],  # set-cookie goes here, never into the headers
        "body": json.dumps(answer) + "\n",
    }


def visits_so_far(cookies):
    for cookie in cookies:
        name, _, value = cookie.partition("=")
        if name == "visits" and value.isdecimal():
            return int(value)
    return 0
