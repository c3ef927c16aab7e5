"""Any OpenAPI service as a hook: its operations become tools of chains and models."""
