"""Settings for development on one machine; every name may be overridden by an environment variable in capitals.

Faust's settings carry Faust's names (see `faust --help` and its documentation of each); app/configuration.py has ours.
A name that neither knows is refused at start.
"""

broker = "kafka://127.0.0.1:9092"
database_url = "postgresql://postgres@127.0.0.1:5432/matchstream"
redis_url = "redis://127.0.0.1:6379/0"

# Fixed when the topics are created: the partition decides which worker owns an instrument.
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

# Topics are made by `python -m app up` or `setup`, with settings that Faust does not know.
topic_allow_declare = False
topic_disable_leader = True

# Tables live in RocksDB; recovery does not depend on it (tables/books/store.py).
store = "rocksdb://"

# Loopback only, and none of Faust's own pages that show table data or statistics to anyone.
web_bind = "127.0.0.1"
web_host = "127.0.0.1"
web_tables_enabled = False
web_router_enabled = False
web_stats_enabled = False
web_metrics_enabled = False

# A Faust message is a fetched batch (app/streaming/consumer.py), so a few are enough.
stream_buffer_maxsize = 16
