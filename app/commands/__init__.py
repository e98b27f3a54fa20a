"""The command line beside Faust's own, `faust -A app …`: each module adds its commands to the app."""
