"""Every message that crosses a topic or a table, and its conversion to and from the core's terms.

Structs here are the only definition of each JSON shape; the files under `schemas/` are generated from them.
"""
