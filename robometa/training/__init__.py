"""Training: the loop, its folder, and what keeps it safe."""
