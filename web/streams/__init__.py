"""What WebSocket clients receive, and the bounded queue of each."""
