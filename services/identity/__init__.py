"""Identity: who there is, who may ask for what, and the tokens that say so."""
