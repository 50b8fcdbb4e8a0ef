"""Predicted scenes made to explain their images better, by rendering and comparing."""
