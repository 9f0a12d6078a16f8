"""The commands by subject. Each module has the functions; `cli/main.py` gives them their names."""
