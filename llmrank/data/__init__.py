"""Texts and questions that models read, and the tokens that they become."""
