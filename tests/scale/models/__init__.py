"""One model a question: traffic, units of the table, fleet, pool, storm, takeovers, walls."""
