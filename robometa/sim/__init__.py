"""The simulator: robots, objectives and variations, and the engine that steps them."""
