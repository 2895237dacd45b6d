"""What stands before and behind the network, compiled: one stream a call, its columns in place.

Arrays are to be views by address (pointers.floats_at). One that has an owner costs up to 60 ns a
step: Numba counts its references in every function with branches.
"""
