"""The commands besides `fit`: one file each, a function whose signature is its options."""
