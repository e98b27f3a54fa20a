"""HTTP for any caller: connections, keys, limits, reading requests and answering with problems."""
