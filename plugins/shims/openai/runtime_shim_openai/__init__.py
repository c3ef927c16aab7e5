"""OpenAI-compatible routes over task chains and models."""
