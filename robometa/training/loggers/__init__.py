"""Where a training's metrics go."""
