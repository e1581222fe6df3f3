"""Serving: many callers, one model, batches that form by themselves. `scheduler` needs nothing but this package;
`server` speaks HTTP and needs the extra ``serve``."""
