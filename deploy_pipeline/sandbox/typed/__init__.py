"""From bytes to typed objects and back: what a body says, how it is merged, and who owns which field."""
