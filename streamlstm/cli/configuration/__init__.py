"""Options of commands that run until they are stopped: also from a TOML file and the environment.

`@service` makes it so (decorator.py); docs/configuration.md is what users read of it.
"""
