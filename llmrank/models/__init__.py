"""What a model is: its families, where it comes from, how it is read and written."""
