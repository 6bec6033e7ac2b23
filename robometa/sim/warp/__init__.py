"""Locomotion on a GPU, with MuJoCo Warp."""
