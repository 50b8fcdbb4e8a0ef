"""What a model knows of its own certainty: what decoding leaves, and the calibration that turns it into shares and intervals."""
