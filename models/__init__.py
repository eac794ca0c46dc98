"""Runnable models: real data, figures and a command line each."""
