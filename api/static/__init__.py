"""Files of the documentation pages, from the packages swagger-ui-dist 5.35.0 and redoc 2.5.4."""
