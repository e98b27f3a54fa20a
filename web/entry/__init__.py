"""The way in: commands out to Kafka, and who waits for their reports."""
