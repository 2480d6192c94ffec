"""Steps that follow one another, submitted as one."""
