"""Latency and throughput of the gRPC service, against the bare engine in the same run."""
