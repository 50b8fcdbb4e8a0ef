"""The parts of the model: tower, language model, numeric head, dense heads."""
