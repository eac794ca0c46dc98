"""What the models share: data, networks, command lines, figures and output files."""
