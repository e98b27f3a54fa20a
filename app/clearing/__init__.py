"""Clearing: trades to obligations, netting, cycles, statements, seals. Pure; docs/CLEARING.md is its rule book."""
