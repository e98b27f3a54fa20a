"""The books table: snapshots of every order book, written and loaded by the recovery protocol (tables/recovery)."""
