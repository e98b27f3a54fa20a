"""The books table on the recovery protocol."""
