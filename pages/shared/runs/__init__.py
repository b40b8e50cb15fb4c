"""What the page of the runs is made of."""
