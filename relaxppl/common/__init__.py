"""The part of a host's module that needs no host, under the same name; no torch and no jax here."""
