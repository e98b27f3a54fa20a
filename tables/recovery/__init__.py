"""The recovery protocol for any table: checkpoint its state in a fixed order, and load it at a start."""
