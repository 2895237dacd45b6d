"""`python -m streamlstm` is the `streamlstm` command."""

from streamlstm.cli import main

if __name__ == "__main__":
    main()
