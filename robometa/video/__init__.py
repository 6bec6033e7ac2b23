"""Videos of adaptations."""
