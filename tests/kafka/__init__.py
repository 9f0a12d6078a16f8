"""Real brokers for the tests: Apache Kafka in KRaft mode, and Tansu from its wheel."""
