"""What stands before and behind the network, compiled: one stream a call, its columns in place."""
