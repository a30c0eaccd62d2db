"""A Flower app whose server sees means and no client's model, weight or loss."""
