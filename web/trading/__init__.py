"""The gateway's trading logic without HTTP: accept orders, recognise repeated keys, and find orders."""
