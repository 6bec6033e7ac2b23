"""The locomotion engine on a GPU, with MuJoCo Warp."""
