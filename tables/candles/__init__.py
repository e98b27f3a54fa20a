"""The candles table: the bars of every market and all its trades, by the recovery protocol (tables/recovery)."""
