"""What we use of `kafka-python`, imported in the one place that bears with its warnings.

Reading its message schemas, version 3.0 calls a function that Python 3.11 deprecates; where
warnings are errors, as in our tests, the import would fail.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord
    from kafka.errors import (
        KafkaConnectionError,
        KafkaError,
        KafkaTimeoutError,
        TopicAlreadyExistsError,
        UnknownTopicOrPartitionError,
    )
    from kafka.net.compat import KafkaNetClient
    from kafka.net.inet import KafkaNetSocket

__all__ = [
    "ConsumerRecord",
    "KafkaAdminClient",
    "KafkaConnectionError",
    "KafkaConsumer",
    "KafkaError",
    "KafkaNetClient",
    "KafkaNetSocket",
    "KafkaProducer",
    "KafkaTimeoutError",
    "TopicAlreadyExistsError",
    "TopicPartition",
    "UnknownTopicOrPartitionError",
]
