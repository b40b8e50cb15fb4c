"""What is read inside the dense model: activations, moments, gradients."""
