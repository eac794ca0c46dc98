"""Which 20 pixels tell a digit? Top-k sampling against mutual information."""
