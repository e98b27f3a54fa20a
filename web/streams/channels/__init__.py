"""The channels that can be subscribed to: one module each."""
