"""What becomes of orders, without HTTP: what a key was used for, and what is known of an order."""
