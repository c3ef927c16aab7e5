"""Each script leads from one revision to the next."""
