"""How a wish becomes facts: per context its commands and handlers, and the bus that runs them."""
