"""Who did what, when and from where: recorded at once, kept in a chain of blocks that shows what was changed in it."""
