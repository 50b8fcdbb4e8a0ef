"""Formats that people already use: CLEVR's scene files both ways, COCO instances, and an image folder for Hugging Face ``datasets``."""
