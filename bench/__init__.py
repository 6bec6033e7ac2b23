"""Speed of robometa beside the physics alone and beside other simulators: `python -m bench`."""
