"""What each number of a network comes from: operations followed on labels, without a framework."""
