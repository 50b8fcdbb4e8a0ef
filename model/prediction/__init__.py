"""Prediction: from images to code."""
