"""What scores and neurons say: one neuron, two criteria, stability, warnings."""
