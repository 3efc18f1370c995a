"""What the services say to each other: the catalogue of topics, the facts and their envelope."""
