"""``igllm studio``: a local page with the whole loop in it, from an image to code, to a picture, to files to take away."""
