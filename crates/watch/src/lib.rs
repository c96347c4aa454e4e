//! Topics on this node: the last value of each, its watchers, and healing from the database.
