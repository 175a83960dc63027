"""The invoker whole: a service in this process, its workers processes as ever."""
