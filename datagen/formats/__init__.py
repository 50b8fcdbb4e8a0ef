"""Established formats: CLEVR's scene files (export and import), COCO instances, and image folders for Hugging Face ``datasets``."""
