"""The online stage in compiled code; its specification is streamlstm/online."""
