"""The ground floor: errors, configs, plug-in registry, artifacts, files, display, seeds. Imports nothing heavy."""
