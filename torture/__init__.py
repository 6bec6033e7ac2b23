"""Kills, crashes, full disks, flipped bits, blown-up simulations, hostile files. See `python -m torture -h`."""
