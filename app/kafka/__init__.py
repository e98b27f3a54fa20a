"""Plain Kafka clients: administration, log ids, consumer groups."""
