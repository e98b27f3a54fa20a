"""All messages in topics and tables, and their conversion to and from the core's types.

The structs here are the only definition of each JSON shape; `make schemas` generates the files in `schemas/` from them.
"""
