"""How fast robometa is beside the physics alone and beside other simulators: `python -m bench`."""
