"""The page: exported policies at work in a browser."""
