"""The OpenAI chat and embeddings protocol, for providers that speak it."""
