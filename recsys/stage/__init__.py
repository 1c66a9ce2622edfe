"""One file per verb: the only rooms that import Ray."""
