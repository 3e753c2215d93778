"""Where the conversations of a job are analysed: local processes, or a server."""
