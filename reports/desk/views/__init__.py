"""The desk's pages and downloads, one group of routes a file."""
