"""Sources of tables, a file each; all become :class:`streamlstm.data.columns.Columns`."""
