"""robometa: robots that adapt. Meta-learn a controller, measure how it adapts, and watch it do so."""

from robometa.sim.registration import register_once_loaded

register_once_loaded()
