"""An AWS Lambda handler: the same file runs on Lambda behind a Function URL."""

import json


def handler(event, context):
    query = event.get("queryStringParameters") or {}
    body = {"hello": query.get("name", "world"), "path": event["rawPath"]}
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body) + "\n",
    }
