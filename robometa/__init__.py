"""robometa: robots that adapt. Meta-learn a controller, measure how it adapts, and watch it do so."""
