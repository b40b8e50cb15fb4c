"""What a measurement is: perplexity, accuracy, time and memory, dense beside pruned."""
