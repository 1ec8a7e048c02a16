"""How the shipped models were made: an autoencoder, a text-to-image model and a CLIP of the scenes."""
