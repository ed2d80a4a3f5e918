"""A service that adapts to users as they act: HTTP, the store of users, micro-batches of requests."""
