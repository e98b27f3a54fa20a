"""The obvious second engines, written from the rules alone, that the fast ones are checked against."""
