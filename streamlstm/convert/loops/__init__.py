"""Recurrent layers that an exporter wrote out as a loop, recognised by what one step computes."""
