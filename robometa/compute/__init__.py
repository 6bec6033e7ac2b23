"""How work is shared out: threads, and graphs on a GPU."""
