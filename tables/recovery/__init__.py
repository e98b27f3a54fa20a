"""The recovery protocol for any table: what becomes durable in which order, and how it is loaded."""
