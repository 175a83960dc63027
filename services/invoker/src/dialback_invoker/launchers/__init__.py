"""How workers come to be: one module per launcher, all behind `launchers.base.Launcher`."""
