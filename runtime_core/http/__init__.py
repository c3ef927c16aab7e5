"""The HTTP server: one module a resource."""
