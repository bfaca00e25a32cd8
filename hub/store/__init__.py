"""What the hub remembers: SQLAlchemy Core, one file a resource. Every function takes the connection of a transaction."""
