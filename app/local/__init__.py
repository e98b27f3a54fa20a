"""The three servers and the launcher for development, demo and tests; the application itself never imports this."""
