"""Analytics: bars and rolling tickers as a function of the reports of a market. Pure; no clock, only the log's time."""
