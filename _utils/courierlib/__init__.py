"""What is known about Courier's problems, and the hands that repair them; imports neither Salt nor MkDocs."""

__version__ = "0.1.0"

KB_URL = "https://saltext-courier.readthedocs.io/en/latest"
"""Base address of the knowledge base, its one home; ``courier: {kb_url: …}`` overrides it on a minion."""
