"""What is run once in a while by hand, and kept so that anyone can run it again."""
