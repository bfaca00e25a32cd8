"""Who belongs to the fleet, and how it is proven."""
