"""The whole of Carnet on one Linux machine, without Docker and without root: `make up`."""
