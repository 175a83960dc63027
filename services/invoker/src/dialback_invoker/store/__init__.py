"""What lasts: functions, deployments, invocations, logs. `port` says what a store does, `sqlite` does it."""
