"""A fleet in virtual time: the coordinator that is shipped, and models of all that is around it."""
