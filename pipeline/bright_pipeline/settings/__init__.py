"""The sections of a config, typed: one source of keys, defaults and checks; families add their own."""
