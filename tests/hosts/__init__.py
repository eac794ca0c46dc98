"""What is about one host, and what the hosts ask of a library."""
