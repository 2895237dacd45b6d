"""What stands around the network: specifications of the online stage, and their reference."""
