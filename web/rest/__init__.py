"""Our HTTP API: one module for each kind of call, from the request to the answer."""
