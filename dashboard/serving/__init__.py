"""The process around the pages: the server, its other addresses, who may write, the demo."""
