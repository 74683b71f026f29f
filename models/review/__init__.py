"""What a person should look at next, and what becomes of what they say."""
