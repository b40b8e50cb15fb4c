"""What a method is: criteria, allocations, repairs, their graph and the cut."""
