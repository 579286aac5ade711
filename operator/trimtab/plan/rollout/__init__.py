"""Roll-outs: a variant is tried beside the one that serves, and goes on or back by what both did."""
