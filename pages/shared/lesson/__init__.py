"""The Lesson page's parts."""
