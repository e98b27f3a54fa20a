"""Our commands of `faust -A app …`, beside Faust's own; importing a module adds its commands to the app."""
