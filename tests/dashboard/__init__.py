"""The dashboard's pages in a browser."""
