"""MCP servers as hooks, and chains and hooks as an MCP server."""
