"""The same robots on a GPU, with MuJoCo Warp."""
