"""What functions are told through their environment, and how the secret part of it is kept."""
