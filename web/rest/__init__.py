"""The handlers of the HTTP API, from the request to the answer: one module for each kind of call."""
