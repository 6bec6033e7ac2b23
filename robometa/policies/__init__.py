"""Trained policies on disk: folder, card, merging."""
