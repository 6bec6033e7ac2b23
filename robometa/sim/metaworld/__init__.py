"""Meta-World's fifty manipulation tasks, stepped many at once: upstream's models and goals, our engine and rewards."""
