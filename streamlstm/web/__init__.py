"""What speaks HTTP: the live page (``page/``) and the gateway for observations (``gateway/``)."""
