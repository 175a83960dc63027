"""The code inside a Dialback worker: it takes invocations from a runtime that cannot stream, dials back, and streams.

`python -m dialback_bridge worker` serves the function in the working directory, `python -m dialback_bridge inspect`
says what the function is. Where to look:

- `launch`, `watchdog`, `worker`: how a worker is told what it is, how it ends with its platform, how the parts are
  joined
- `discovery`, `entry`: which object of the user's code answers requests
- `runtime_client`, `http_pool`, `http_connection`: taking invocations from the runtime API
- `callback_url`, `receiver_socket`, `stream_socket`, `web_socket`, `receivers`: dialling back, and only where allowed
- `invocation`, `exchange`, `stream_exchange`, `buffered_exchange`: one invocation from payload to verdict
- `handlers`: how each style of user code is called
- `log_capture`: whose line is it, when several invocations print at once
"""
