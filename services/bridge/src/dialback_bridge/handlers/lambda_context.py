"""The `context` that AWS Lambda gives to a Python handler: the same names, the same meanings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ..runtime_client import Delivery

NO_DEADLINE_MS = 2**31 - 1
"""What `get_remaining_time_in_millis` says when the invocation has no deadline: about 25 days."""


class LambdaContext:
    """As documented by AWS (Lambda context object in Python). `environ`: where `AWS_LAMBDA_...` stand."""

    def __init__(self, delivery: Delivery, environ: Mapping[str, str] = os.environ) -> None:
        self.aws_request_id = delivery.id
        self.invoked_function_arn = delivery.function_arn
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        """A string, as on AWS."""
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        identity = _loads(delivery.identity)
        self.identity = SimpleNamespace(
            cognito_identity_id=identity.get("cognitoIdentityId"),
            cognito_identity_pool_id=identity.get("cognitoIdentityPoolId"),
        )
        client = _loads(delivery.client_context)
        self.client_context = (
            SimpleNamespace(
                client=SimpleNamespace(**client.get("client", {})), custom=client.get("custom"), env=client.get("env")
            )
            if client
            else None
        )
        self._deadline_ms = delivery.deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the platform ends the invocation; never negative."""
        if self._deadline_ms is None:
            return NO_DEADLINE_MS
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def __repr__(self) -> str:
        return f"LambdaContext(aws_request_id={self.aws_request_id!r}, function_name={self.function_name!r})"


def _loads(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
