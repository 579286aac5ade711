"""Policies, one file each, with the paper that they are written from."""
