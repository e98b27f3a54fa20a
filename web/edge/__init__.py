"""The HTTP edge for any caller: connections, API keys, rate limits, request parsing and error answers."""
