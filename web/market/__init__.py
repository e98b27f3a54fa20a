"""The gateway's view of the market: reports in, books, recent orders and trades out."""
