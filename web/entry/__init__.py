"""Order entry: sends commands to Kafka, and lets requests wait for the engine's reports about them."""
