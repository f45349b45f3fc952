"""One module per kind of table: which runs it needs, and how it is built of them."""
