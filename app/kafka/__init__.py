"""Plain Kafka clients: administration, genesis records, consumer groups, one reader, one sender."""
