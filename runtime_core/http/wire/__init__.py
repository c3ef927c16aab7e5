"""The shapes of requests and answers, and pure functions between them and the domain's nouns."""
