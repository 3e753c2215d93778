"""The gRPC service: the only part of moodline, beside the client, that knows gRPC."""
