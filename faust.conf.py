"""Settings for development on one machine. An environment variable, the name in capitals, overrides each of them.

Faust's settings have Faust's names (see `faust --help` and Faust's documentation); app/configuration.py lists ours.
Matchstream refuses to start with an unknown name.
"""

broker = "kafka://127.0.0.1:9092"
database_url = "postgresql://postgres@127.0.0.1:5432/matchstream"
redis_url = "redis://127.0.0.1:6379/0"

# Cannot change once the topics exist: an instrument's partition decides which worker owns it.
topic_partitions = 8
topic_replication_factor = 1

# docs/EXACTNESS.md explains each of these; other values would weaken the guarantee or stall a rebalance.
processing_guarantee = "at_least_once"
stream_wait_empty = False
table_standby_replicas = 0
consumer_auto_offset_reset = "earliest"
broker_commit_interval = 1.0
broker_session_timeout = 10.0
broker_heartbeat_interval = 3.0
producer_acks = -1

# `python -m app up` or `setup` creates the topics, with settings that Faust does not know.
topic_allow_declare = False
topic_disable_leader = True

# Tables live in RocksDB; recovery does not depend on it (tables/recovery/store.py).
store = "rocksdb://"

# Listen on loopback only, and switch off Faust's own pages, which show table data and statistics to anyone.
web_bind = "127.0.0.1"
web_host = "127.0.0.1"
web_tables_enabled = False
web_router_enabled = False
web_stats_enabled = False
web_metrics_enabled = False

# Each Faust message is a whole fetched batch (app/streaming/consumer.py), so a small buffer is enough.
stream_buffer_maxsize = 16
