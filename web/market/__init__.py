"""The gateway's view of the market: reads the engine's reports and keeps books, recent orders and recent trades."""
