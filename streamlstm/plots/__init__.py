"""Pictures: their colours and style, their axes, and files of them; matplotlib is known here."""
