"""From pixels to logits: backbone, weights and heads."""
